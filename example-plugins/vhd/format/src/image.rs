//! An image: maps an offset of the disk to a place in the file.

use std::ops::Range;

use image_format::Pages;

use crate::footer::{Footer, Kind};
use crate::header::Header;
use crate::{Error, Result, SECTOR, Source, Stretch, Tables};

/// Blocks that one lookup covers.
const BLOCKS: u64 = 4096;

/// The entry of the block table for a block that isn't allocated.
const NOT_THERE: u32 = u32::MAX;

/// An image whose footer and header were checked. The block table is checked at each use.
#[derive(Debug)]
pub struct Image<S> {
    file: Pages<S>,
    size: u64,
    /// `None`: the disk is fixed.
    blocks: Option<Header>,
}

impl<S: Source> Image<S> {
    /// Reads everything except the block table. Caches at most `memory` bytes of that.
    pub fn open(source: S, memory: usize) -> Result<Self> {
        let file = Pages::new(source, memory);
        let footer = Footer::read(&file)?;
        let blocks = match footer.kind {
            Kind::Fixed => None,
            Kind::Dynamic { header } => Some(Header::read(&file, header, footer.size)?),
        };
        Ok(Self {
            file,
            size: footer.size,
            blocks,
        })
    }
}

impl<S: Source> Tables for Image<S> {
    fn size(&self) -> u64 {
        self.size
    }

    fn grain(&self) -> u64 {
        self.blocks.map_or(2 << 20, |header| header.block)
    }

    fn lacks(&self) -> bool {
        self.file.lacks()
    }

    fn reach(&self, offset: u64) -> Range<u64> {
        let Some(header) = self.blocks else {
            return 0..self.size;
        };
        let reach = header.block * BLOCKS;
        let start = offset - offset % reach;
        start..self.size.min(start + reach)
    }

    fn stretch(&mut self, offset: u64, length: u64) -> Result<(Stretch, u64)> {
        let Some(header) = self.blocks else {
            return Ok(match self.file.has(offset, length) {
                0 => (Stretch::Lacking, length),
                has => (Stretch::Flat(offset), has),
            });
        };
        let block = header.block;
        let first = self.place(header, offset)?;
        let mut run = block - offset % block;
        while run < length {
            let goes_on = match (first, self.place(header, offset + run)?) {
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
        match first {
            None => Ok((Stretch::Hole, run)),
            Some(at) => self.there(at, run),
        }
    }
}

impl<S: Source> Image<S> {
    /// The place of the byte at `offset` in the file, if it is stored.
    fn place(&mut self, header: Header, offset: u64) -> Result<Option<u64>> {
        let at = header.table.saturating_add(offset / header.block * 4);
        let sector = u32::from_be_bytes(self.file.field(at)?);
        let data = u64::from(sector) * SECTOR + header.bitmap();
        Ok((sector != NOT_THERE).then_some(data + offset % header.block))
    }

    /// The part of some data that is inside the file. Missing bytes are an error, as in QEMU, except for the rest of
    /// the last sector, which reads as zeroes.
    fn there(&self, at: u64, run: u64) -> Result<(Stretch, u64)> {
        let size = self.file.size().next_multiple_of(SECTOR);
        match self.file.has(at, run) {
            0 if at < size => Ok((Stretch::Hole, run.min(size - at))),
            0 => Err(Error::malformed(format!(
                "the data at {at} is past the end of the file"
            ))),
            has => Ok((Stretch::Data(at), has)),
        }
    }
}
