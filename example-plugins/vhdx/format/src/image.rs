//! An image: maps an offset of the disk to a block of the file.

use std::ops::Range;

use image_format::Pages;

use crate::block::{self, Place};
use crate::header;
use crate::log::Replayed;
use crate::metadata::Metadata;
use crate::region::{Region, Regions};
use crate::{Error, Result, Source, Stretch, Tables};

/// Blocks that one lookup covers.
const BLOCKS: u64 = 4096;

/// An image whose headers, regions and metadata were checked. The block table is checked at each use.
#[derive(Debug)]
pub struct Image<S> {
    file: Pages<Replayed<S>>,
    metadata: Metadata,
    blocks: Region,
}

impl<S: Source> Image<S> {
    /// Reads everything except the block table. Caches at most `memory` bytes of that.
    pub fn open(source: S, memory: usize) -> Result<Self> {
        let source = match header::log_to_replay(&source)? {
            None => Replayed::plain(source),
            Some(log) => Replayed::replay(source, log)?,
        };
        let file = Pages::new(source, memory);
        let Regions { blocks, metadata } = Regions::read(&file)?;
        let metadata = Metadata::read(&file, metadata)?;
        let image = Self {
            file,
            metadata,
            blocks,
        };
        let last = (metadata.size - 1) / metadata.block;
        if (image.index(last) + 1) * 8 > blocks.length {
            return Err(Error::malformed(
                "the block table is too short for the disk",
            ));
        }
        Ok(image)
    }
}

impl<S: Source> Tables for Image<S> {
    fn size(&self) -> u64 {
        self.metadata.size
    }

    fn grain(&self) -> u64 {
        self.metadata.block
    }

    fn lacks(&self) -> bool {
        // Bytes past the end of the file are an error.
        false
    }

    fn reach(&self, offset: u64) -> Range<u64> {
        let reach = self.metadata.block * BLOCKS;
        let start = offset - offset % reach;
        start..self.size().min(start + reach)
    }

    fn stretch(&mut self, offset: u64, length: u64) -> Result<(Stretch, u64)> {
        let block = self.metadata.block;
        let first = self.block(offset / block)?;
        let mut run = block - offset % block;
        while run < length {
            // A damaged entry fails only the requests that use it.
            let goes_on = match (first, self.block((offset + run) / block)) {
                (Place::Hole, Ok(Place::Hole)) => true,
                (Place::Data(here), Ok(Place::Data(there))) => here + offset % block + run == there,
                _ => false,
            };
            if !goes_on {
                break;
            }
            run += block;
        }
        let run = run.min(length);
        match first {
            Place::Hole => Ok((Stretch::Hole, run)),
            Place::Data(at) => self.there(at + offset % block, run),
        }
    }
}

impl<S: Source> Image<S> {
    /// The part of some data that is inside the file. Missing bytes are an error, as in QEMU, except for the rest of
    /// the last sector, which reads as zeroes.
    fn there(&self, at: u64, run: u64) -> Result<(Stretch, u64)> {
        let size = self.file.size();
        match self.file.has(at, run) {
            0 if at < size.next_multiple_of(512) => {
                Ok((Stretch::Hole, run.min(size.next_multiple_of(512) - at)))
            }
            0 => Err(Error::malformed(format!(
                "the data at {at} is past the end of the file"
            ))),
            has => Ok((Stretch::Data(at), has)),
        }
    }

    /// The place of a payload block.
    fn block(&mut self, number: u64) -> Result<Place> {
        let at = self.blocks.offset + self.index(number) * 8;
        let place = block::place(u64::from_le_bytes(self.file.field(at)?))?;
        if let Place::Data(offset) = place {
            if offset == 0 || offset >= self.file.size() {
                return Err(Error::malformed(format!(
                    "the block at {offset} is past the end of the file"
                )));
            }
            let block = offset..offset + self.metadata.block;
            if self.file.source().changes(&block) {
                return Err(Error::malformed("the log changes data, not only tables"));
            }
        }
        Ok(place)
    }

    /// The number of its entry. After each chunk of payload blocks follows one entry for their bitmap.
    fn index(&self, number: u64) -> u64 {
        number + number / self.metadata.chunk()
    }
}
