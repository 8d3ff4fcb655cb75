//! An image: from an offset of its disk to a block of the file.

use std::ops::Range;

use image_format::Pages;

use crate::block::{self, Place};
use crate::header;
use crate::log::Replayed;
use crate::metadata::Metadata;
use crate::region::{Region, Regions};
use crate::{Error, Result, Source, Stretch, Tables};

/// Blocks that one answer looks at.
const BLOCKS: u64 = 4096;

/// An image whose headers, regions and metadata were checked. The block table is checked as it's used.
#[derive(Debug)]
pub struct Image<S> {
    file: Pages<Replayed<S>>,
    metadata: Metadata,
    blocks: Region,
}

impl<S: Source> Image<S> {
    /// Reads all but the block table. Remembers at most `memory` bytes of that.
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
                "a block table that is too short for the disk",
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
        // What a file lacks is an error.
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
            // One that is bad is bad for who asks for it.
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
    /// As much of some data as the file has. What it lacks is an error, as it is to QEMU, but for the rest of
    /// the last sector, which reads as zeroes.
    fn there(&self, at: u64, run: u64) -> Result<(Stretch, u64)> {
        let size = self.file.size();
        match self.file.has(at, run) {
            0 if at < size.next_multiple_of(512) => {
                Ok((Stretch::Hole, run.min(size.next_multiple_of(512) - at)))
            }
            0 => Err(Error::malformed(format!(
                "data at {at}: past the end of the file"
            ))),
            has => Ok((Stretch::Data(at), has)),
        }
    }

    /// Where a payload block is.
    fn block(&mut self, number: u64) -> Result<Place> {
        let at = self.blocks.offset + self.index(number) * 8;
        let place = block::place(u64::from_le_bytes(self.file.field(at)?))?;
        if let Place::Data(offset) = place {
            if offset == 0 || offset >= self.file.size() {
                return Err(Error::malformed(format!(
                    "a block at {offset}: past the end of the file"
                )));
            }
            let block = offset..offset + self.metadata.block;
            if self.file.source().changes(&block) {
                return Err(Error::malformed("a log that changes data"));
            }
        }
        Ok(place)
    }

    /// Its entry's number: after each chunk of payload blocks comes one for their bitmap.
    fn index(&self, number: u64) -> u64 {
        number + number / self.metadata.chunk()
    }
}
