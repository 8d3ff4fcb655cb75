//! The bytes of a file, with a bounded cache of the pages that were used last.

use std::cell::Cell;
use std::collections::HashMap;
use std::mem;

use crate::{Error, Result};

/// Size of a page of tables, in bytes.
const PAGE: u64 = 4096;

/// Size of the cache of all files of an image, in bytes. A guest has 64 MiB for everything.
pub const LIMIT: usize = 16 << 20;

/// A source of bytes: a file, or the part of it that the format needs.
pub trait Source {
    /// Its size in bytes. It doesn't change.
    fn size(&self) -> u64;

    /// Returns exactly `length` bytes at `offset`, which are inside the file.
    fn read(&self, offset: u64, length: usize) -> Result<Vec<u8>>;
}

/// Size of a sector, the unit of headers and streams, in bytes. Writers and downloads omit trailing zeroes of the last
/// sector of a file.
const SECTOR: u64 = 512;

/// The start of no page.
const NOWHERE: u64 = u64::MAX;

/// A source, with a cache of its tables: the page that was used last, and two generations of others. When the younger
/// generation is full, the older one is dropped.
#[derive(Debug)]
pub struct Pages<S> {
    source: S,
    last: (u64, Vec<u8>),
    young: HashMap<u64, Vec<u8>>,
    old: HashMap<u64, Vec<u8>>,
    /// Pages per generation.
    capacity: usize,
    /// Whether a read touched bytes past the end of the file.
    lacks: Cell<bool>,
}

impl<S: Source> Pages<S> {
    /// A cache of at most `limit` bytes.
    pub fn new(source: S, limit: usize) -> Self {
        Self {
            source,
            last: (NOWHERE, Vec::new()),
            young: HashMap::new(),
            old: HashMap::new(),
            capacity: (limit / PAGE as usize / 2).max(1),
            lacks: Cell::new(false),
        }
    }

    /// The source of the bytes.
    pub fn source(&self) -> &S {
        &self.source
    }

    /// The file's size.
    pub fn size(&self) -> u64 {
        self.source.size()
    }

    /// Whether a read touched bytes past the end of the file.
    pub fn lacks(&self) -> bool {
        self.lacks.get()
    }

    /// How many of the `length` bytes at `offset` are inside the file.
    pub fn has(&self, offset: u64, length: u64) -> u64 {
        self.size().saturating_sub(offset).min(length)
    }

    /// Reads bytes past the cache; an error if some are past the end of the file.
    pub fn read(&self, offset: u64, length: usize) -> Result<Vec<u8>> {
        let end = offset.checked_add(length as u64);
        if end.is_none_or(|end| end > self.size()) {
            return Err(Error::malformed(format!(
                "{length} bytes at {offset} are past the end of the file"
            )));
        }
        self.source.read(offset, length)
    }

    /// The same, with zeroes for bytes past the end of the file, as in QEMU. The rest of a last sector doesn't count as
    /// missing.
    pub fn read_padded(&self, offset: u64, length: usize) -> Result<Vec<u8>> {
        let sectors = self.size().saturating_add(SECTOR - 1) / SECTOR * SECTOR;
        self.note(offset, length as u64, sectors);
        let mut bytes = match self.has(offset, length as u64) {
            0 => Vec::new(),
            has => self.source.read(offset, has as usize)?,
        };
        bytes.resize(length, 0);
        Ok(bytes)
    }

    /// Returns `N` bytes at `offset`, with zeroes for bytes past the end of the file. `N` is a power of two, and
    /// `offset` a multiple of it.
    pub fn field<const N: usize>(&mut self, offset: u64) -> Result<[u8; N]> {
        self.note(offset, N as u64, self.size());
        let start = offset - offset % PAGE;
        if self.last.0 != start {
            self.load(start)?;
        }
        crate::field(&self.last.1, (offset - start) as usize)
    }

    /// Notes that zeroes stand for bytes that the file lacks.
    pub fn note_lack(&self) {
        self.lacks.set(true);
    }

    /// Notes whether these bytes reach past `end`.
    fn note(&self, offset: u64, length: u64, end: u64) {
        if offset.saturating_add(length) > end {
            self.lacks.set(true);
        }
    }

    /// Makes the page at `start` the one that was used last.
    fn load(&mut self, start: u64) -> Result<()> {
        let known = self
            .young
            .remove(&start)
            .or_else(|| self.old.remove(&start));
        let page = match known {
            Some(page) => page,
            None => {
                let mut page = match self.has(start, PAGE) {
                    0 => Vec::new(),
                    has => self.source.read(start, has as usize)?,
                };
                page.resize(PAGE as usize, 0);
                page
            }
        };
        let (before, bytes) = mem::replace(&mut self.last, (start, page));
        if before == NOWHERE {
            return Ok(());
        }
        if self.young.len() >= self.capacity {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(before, bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Ten pages, whose 32-bit words are their own numbers.
    #[derive(Default)]
    struct Words {
        reads: Cell<usize>,
    }

    impl Source for &Words {
        fn size(&self) -> u64 {
            10 * PAGE
        }

        fn read(&self, offset: u64, length: usize) -> Result<Vec<u8>> {
            self.reads.set(self.reads.get() + 1);
            let bytes = (offset..).take(length);
            Ok(bytes
                .map(|at| (at as u32 / 4).to_le_bytes()[at as usize % 4])
                .collect())
        }
    }

    fn word(pages: &mut Pages<&Words>, offset: u64) -> u64 {
        u32::from_le_bytes(pages.field(offset).unwrap()).into()
    }

    #[test]
    fn pages_are_read_once_while_they_are_remembered() {
        let words = Words::default();
        let mut pages = Pages::new(&words, 100 * PAGE as usize);
        for offset in [0, 8, PAGE, 4, 2 * PAGE, PAGE + 12, 0] {
            assert_eq!(word(&mut pages, offset), offset / 4);
        }
        assert_eq!(words.reads.get(), 3);
    }

    #[test]
    fn memory_is_bounded() {
        let words = Words::default();
        let mut pages = Pages::new(&words, 4 * PAGE as usize);
        for round in 0..5 {
            for page in 0..10 {
                let offset = (page * 7 % 10) * PAGE + round * 4;
                assert_eq!(word(&mut pages, offset), offset / 4);
                assert!(pages.young.len() + pages.old.len() <= 4);
            }
        }
        assert!(words.reads.get() > 10, "some were forgotten");
    }

    #[test]
    fn past_the_end_is_an_error_or_zeroes() {
        let words = Words::default();
        let mut pages = Pages::new(&words, 1 << 20);
        assert!(pages.read(10 * PAGE - 1, 2).is_err());
        assert!(pages.read(u64::MAX, 2).is_err());
        assert!(!pages.lacks());
        assert_eq!(pages.read_padded(10 * PAGE - 4, 6).unwrap()[4..], [0; 2]);
        assert!(pages.lacks());
        assert_eq!(pages.field::<8>(10 * PAGE).unwrap(), [0; 8]);
        assert_eq!(pages.field::<8>(u64::MAX - 7).unwrap(), [0; 8]);
        assert_eq!(pages.has(10 * PAGE - 4, 6), 4);
        assert_eq!(pages.has(u64::MAX, 6), 0);
    }

    #[test]
    fn the_rest_of_a_last_sector_is_not_missed() {
        let pages = Pages::new(crate::Bytes(vec![7; 520]), 1 << 20);
        assert_eq!(pages.read_padded(516, 508).unwrap()[3..5], [7, 0]);
        assert!(!pages.lacks());
        let _ = pages.read_padded(516, 509).unwrap();
        assert!(pages.lacks());
        let mut pages = Pages::new(crate::Bytes(vec![7; 516]), 1 << 20);
        assert_eq!(pages.field::<8>(512).unwrap(), [7, 7, 7, 7, 0, 0, 0, 0]);
        assert!(pages.lacks(), "a table's entry is");
    }
}
