//! A granted file, as the source of an image's bytes.

mod table_disk;

use std::cell::Cell;
use std::rc::Rc;

use image_format::Source;
use nbdbox_plugin::{Blob, Error, Level, Result, log};

pub use table_disk::TableDisk;

/// The most bytes of one read of a blob.
const PIECE: usize = 1 << 20;

/// A blob, and its size when the instance opened it.
pub struct File {
    /// The blob itself, for reads by reference.
    pub blob: Rc<Blob>,
    size: u64,
}

impl File {
    /// Opens the blob that the operator granted under this name.
    pub fn open(name: &str) -> Result<Self> {
        let missing = |errno| {
            Error::new(
                errno,
                format!("no blob {name:?} is granted: add --blob {name}=PATH"),
            )
        };
        let blob = Blob::open(name).map_err(missing)?;
        let size = blob.size()?;
        Ok(Self {
            blob: Rc::new(blob),
            size,
        })
    }

    /// The same blob, treated as if it were as long as `other`.
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

/// The error for a bad image, for the client and the operator's log.
pub fn bad(error: image_format::Error) -> Error {
    Error::io(error.to_string())
}

thread_local! {
    /// Whether the warning was logged. An instance has one thread.
    static TOLD: Cell<bool> = const { Cell::new(false) };
}

/// Warns once in the log that a read past the end of a file returned zeroes.
pub fn tell_of_lacking_bytes() {
    if !TOLD.replace(true) {
        log(
            Level::Warn,
            "the image is cut short: bytes past the end of a file read as zeroes",
        );
    }
}
