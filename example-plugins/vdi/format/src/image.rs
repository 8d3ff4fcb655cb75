//! An image: maps an offset of the disk to a block of the file.

use std::ops::Range;

use image_format::Pages;

use crate::header::Header;
use crate::{Result, Source, Stretch, Tables};

/// Blocks that one lookup covers.
const BLOCKS: u64 = 4096;

/// Entries of the block table from here on mean blocks that aren't allocated: never allocated, or discarded.
const NOT_THERE: u32 = u32::MAX - 1;

/// An image whose header was checked. The block table is checked at each use.
#[derive(Debug)]
pub struct Image<S> {
    file: Pages<S>,
    header: Header,
}

impl<S: Source> Image<S> {
    /// Reads the header. Caches at most `memory` bytes of the block table.
    pub fn open(source: S, memory: usize) -> Result<Self> {
        let file = Pages::new(source, memory);
        let header = Header::read(&file)?;
        Ok(Self { file, header })
    }
}

impl<S: Source> Tables for Image<S> {
    fn size(&self) -> u64 {
        self.header.size
    }

    fn grain(&self) -> u64 {
        self.header.block
    }

    fn lacks(&self) -> bool {
        self.file.lacks()
    }

    fn reach(&self, offset: u64) -> Range<u64> {
        let reach = self.header.block * BLOCKS;
        let start = offset - offset % reach;
        start..self.size().min(start + reach)
    }

    fn stretch(&mut self, offset: u64, length: u64) -> Result<(Stretch, u64)> {
        let block = self.header.block;
        let first = self.place(offset)?;
        let mut run = block - offset % block;
        while run < length {
            let goes_on = match (first, self.place(offset + run)?) {
                (None, None) => true,
                (Some(here), Some(there)) => here + run == there,
                _ => false,
            };
            if !goes_on {
                break;
            }
            run += block;
        }
        let run = run.min(length);
        let Some(at) = first else {
            return Ok((Stretch::Hole, run));
        };
        Ok(match self.file.has(at, run) {
            0 => (Stretch::Lacking, run),
            has if self.header.is_fixed => (Stretch::Flat(at), has),
            has => (Stretch::Data(at), has),
        })
    }
}

impl<S: Source> Image<S> {
    /// The place of the byte at `offset` in the file, if it is stored.
    fn place(&mut self, offset: u64) -> Result<Option<u64>> {
        let Header {
            block, table, data, ..
        } = self.header;
        let entry = self.file.field(table + offset / block * 4)?;
        let number = u32::from_le_bytes(entry);
        let at = data + u64::from(number) * block + offset % block;
        Ok((number < NOT_THERE).then_some(at))
    }
}
