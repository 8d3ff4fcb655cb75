//! The granted blobs that the text names.

use std::collections::BTreeMap;

use data_format::{File, Files};
use nbdbox_plugin::{Access, Blob};

/// The most bytes that one `blob.read` returns.
const READ: usize = 1 << 20;

/// The blobs that were opened.
#[derive(Default)]
pub(crate) struct Blobs {
    blobs: Vec<Blob>,
    by_name: BTreeMap<String, File>,
}

impl Blobs {
    pub(crate) fn get(&self, index: usize) -> &Blob {
        &self.blobs[index]
    }
}

impl Files for Blobs {
    fn open(&mut self, name: &str) -> Result<File, String> {
        if let Some(file) = self.by_name.get(name) {
            return Ok(*file);
        }
        let blob = Blob::open(name)
            .map_err(|_| format!("no blob of this name is granted: add --blob {name}=PATH"))?;
        let size = blob
            .size()
            .map_err(|errno| format!("can't get its size: {errno:?}"))?;
        let file = File {
            index: self.blobs.len(),
            size,
            readable: blob.access() != Access::MapOnly,
        };
        self.blobs.push(blob);
        self.by_name.insert(name.to_owned(), file);
        Ok(file)
    }

    fn read(&mut self, file: usize, offset: u64, into: &mut [u8]) -> Result<(), String> {
        for (piece, at) in into.chunks_mut(READ).zip((offset..).step_by(READ)) {
            let bytes = self.blobs[file].read(at, piece.len() as u32);
            let bytes = bytes.map_err(|errno| format!("can't read a file: {errno:?}"))?;
            piece.copy_from_slice(&bytes);
        }
        Ok(())
    }
}
