//! The bytes of a file, and a bounded memory of those that were needed last.

use std::collections::HashMap;
use std::mem;

use crate::{Error, Result};

/// What is read at once for tables, in bytes.
const PAGE: u64 = 4096;

/// What all images of a chain remember together, in bytes: a guest has 64 MiB for everything.
pub const LIMIT: usize = 16 << 20;

/// A file, or as much of it as the format needs: its size and bytes at an offset.
pub trait Source {
    /// In bytes; doesn't change.
    fn size(&self) -> u64;

    /// Exactly `length` bytes at `offset`, which are inside the file.
    fn read(&self, offset: u64, length: usize) -> Result<Vec<u8>>;
}

/// A source with the pages of its tables that were used last, in two generations: when the younger
/// one is full the older one is forgotten.
#[derive(Debug)]
pub struct Pages<S> {
    source: S,
    young: HashMap<u64, Vec<u8>>,
    old: HashMap<u64, Vec<u8>>,
    /// Pages per generation.
    capacity: usize,
}

impl<S: Source> Pages<S> {
    /// Remembers at most `limit` bytes.
    pub fn new(source: S, limit: usize) -> Self {
        Self {
            source,
            young: HashMap::new(),
            old: HashMap::new(),
            capacity: (limit / PAGE as usize / 2).max(1),
        }
    }

    /// The file's size.
    pub fn size(&self) -> u64 {
        self.source.size()
    }

    /// Bytes that are read once, past the memory.
    pub fn read(&self, offset: u64, length: usize) -> Result<Vec<u8>> {
        let end = offset.checked_add(length as u64);
        if end.is_none_or(|end| end > self.size()) {
            return Err(Error::malformed(format!(
                "{length} bytes at {offset} are past the end of the file"
            )));
        }
        self.source.read(offset, length)
    }

    /// The 64-bit field at `offset`, a multiple of 8.
    pub fn u64_at(&mut self, offset: u64) -> Result<u64> {
        let start = offset - offset % PAGE;
        if !self.young.contains_key(&start) {
            self.load(start)?;
        }
        let page = &self.young[&start];
        crate::fields::u64_at(page, (offset - start) as usize)
    }

    /// Makes the page at `start` one of the young.
    fn load(&mut self, start: u64) -> Result<()> {
        let page = match self.old.remove(&start) {
            Some(page) => page,
            None => {
                let length = self.size().saturating_sub(start).min(PAGE);
                self.read(start, length as usize)?
            }
        };
        if self.young.len() >= self.capacity {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(start, page);
        Ok(())
    }
}
