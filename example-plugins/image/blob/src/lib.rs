//! A granted file as the source of an image's bytes.

mod table_disk;

use std::cell::Cell;
use std::rc::Rc;

use image_format::Source;
use nbdbox_plugin::{Blob, Error, Level, Result, log};

pub use table_disk::TableDisk;

/// The most that a blob gives at once, in bytes.
const PIECE: usize = 1 << 20;

/// A blob, with its size when it was opened.
pub struct File {
    /// The blob itself, for reads by reference.
    pub blob: Rc<Blob>,
    size: u64,
}

impl File {
    /// The blob that was granted under this name.
    pub fn open(name: &str) -> Result<Self> {
        let missing = |errno| Error::new(errno, format!("no blob {name:?} was granted"));
        let blob = Blob::open(name).map_err(missing)?;
        let size = blob.size()?;
        Ok(Self {
            blob: Rc::new(blob),
            size,
        })
    }

    /// The same blob, taken to be as long as `other`.
    pub fn as_long_as(self, other: &Self) -> Self {
        Self {
            size: other.size,
            ..self
        }
    }
}

impl Source for File {
    fn size(&self) -> u64 {
        self.size
    }

    fn read(&self, offset: u64, length: usize) -> image_format::Result<Vec<u8>> {
        let piece = |at: usize| {
            let count = PIECE.min(length - at) as u32;
            let unreadable = |errno| image_format::Error::Unreadable(format!("{errno:?}"));
            self.blob
                .read(offset + at as u64, count)
                .map_err(unreadable)
        };
        let mut bytes = piece(0)?;
        while bytes.len() < length {
            bytes.extend(piece(bytes.len())?);
        }
        Ok(bytes)
    }
}

/// What is wrong with an image, for the client and the operator's log.
pub fn bad(error: image_format::Error) -> Error {
    Error::io(error.to_string())
}

thread_local! {
    /// Whether the operator was told. An instance has one thread.
    static TOLD: Cell<bool> = const { Cell::new(false) };
}

/// Tells the operator, once, that the client gets zeroes which no file has.
pub fn tell_of_lacking_bytes() {
    if !TOLD.replace(true) {
        log(
            Level::Warn,
            "the image is cut short: bytes past the end of a file are read as zeroes",
        );
    }
}
