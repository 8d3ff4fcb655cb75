//! One sparse file: maps an offset of the disk to a grain, through directory and table.

use image_format::Pages;

use crate::grain;
use crate::header::Header;
use crate::{Error, Result, SECTOR, Source};

/// The place of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Not stored: it reads as zeroes.
    Hole,
    /// At this offset of the file.
    Data(u64),
    /// Past the end of the file.
    Lacking,
    /// In the compressed grain at `offset` of the file, from its byte `skip` on.
    Compressed {
        /// In bytes.
        offset: u64,
        /// In bytes.
        skip: u64,
    },
}

/// A file whose header was checked. Tables are checked at each use.
#[derive(Debug)]
pub struct Sparse<S> {
    file: Pages<S>,
    header: Header,
    /// The compressed grain that was decoded last: its place, and its bytes.
    decoded: Option<(u64, Vec<u8>)>,
}

impl<S: Source> Sparse<S> {
    /// Reads the header.
    pub fn open(file: Pages<S>) -> Result<Self> {
        let header = Header::read(&file)?;
        let sparse = Self {
            file,
            header,
            decoded: None,
        };
        // A directory past the end of the file would make a disk of zeroes.
        let directory = sparse.header.directory;
        if directory == 0 || directory >= sparse.file.size() {
            return Err(Error::malformed(format!(
                "the grain directory at {directory} is past the end of the file"
            )));
        }
        Ok(sparse)
    }

    /// The header of the file.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The bytes of the embedded descriptor, if there is one.
    pub fn descriptor(&self) -> Result<Vec<u8>> {
        let (offset, length) = self.header.descriptor;
        if offset == 0 || length == 0 {
            return Ok(Vec::new());
        }
        self.file.read_padded(offset, length as usize)
    }

    /// Whether a read touched bytes of tables or streams past the end of the file.
    pub fn lacks(&self) -> bool {
        self.file.lacks()
    }

    /// The place of the byte at `offset`, and the number of bytes that continue there: at least 1, at most `length`.
    /// `offset` is on the disk and `length` isn't 0.
    pub fn place(&mut self, offset: u64, length: u64) -> Result<(Place, u64)> {
        let reach = self.header.reach();
        let length = length.min(reach - offset % reach);
        let Some(table) = self.table(offset / reach)? else {
            return Ok((Place::Hole, length));
        };
        let first = self.entry(table, offset)?;
        let mut run = self.header.grain - offset % self.header.grain;
        while run < length && !self.header.compressed {
            let next = self.entry(table, offset + run)?;
            if !first.goes_on(next, run) {
                break;
            }
            run += self.header.grain;
        }
        self.there(first, run.min(length))
    }

    /// The bytes of a compressed grain from `skip` on.
    pub fn decode(&mut self, offset: u64, skip: u64) -> Result<&[u8]> {
        if self.decoded.as_ref().is_none_or(|(at, _)| *at != offset) {
            let (start, length) = self.stream(offset)?;
            let bytes = self.file.read_padded(start, length as usize)?;
            // Free the old grain before allocating the new one.
            self.decoded = None;
            let bytes = grain::decode(&bytes, self.header.grain as usize)?;
            self.decoded = Some((offset, bytes));
        }
        let grain = self.decoded.as_ref().map(|(_, bytes)| bytes.as_slice());
        grain
            .and_then(|bytes| bytes.get(skip as usize..))
            .ok_or_else(|| Error::malformed("a compressed grain is too short"))
    }

    /// The place of the stream of a compressed grain, and its largest length.
    fn stream(&mut self, offset: u64) -> Result<(u64, u64)> {
        let most = 2 * self.header.grain;
        if !self.header.markers {
            return Ok((offset, most.min(self.file.size().saturating_sub(offset))));
        }
        // A marker: the grain's first sector, the stream's length.
        let length = u32::from_le_bytes(self.file.field(offset + 8)?).into();
        if length == 0 || length > most {
            return Err(Error::malformed(format!(
                "invalid length of a compressed grain: {length} bytes"
            )));
        }
        Ok((offset + 12, length))
    }

    /// The place of the grain table with that number.
    fn table(&mut self, index: u64) -> Result<Option<u64>> {
        let offset = self.sectors(self.header.directory + index * 4)?;
        Ok((offset != 0).then_some(offset))
    }

    fn entry(&mut self, table: u64, offset: u64) -> Result<Place> {
        let (index, skip) = (
            offset % self.header.reach() / self.header.grain,
            offset % self.header.grain,
        );
        Ok(match self.sectors(table + index * 4)? {
            0 => Place::Hole,
            SECTOR if self.header.zeroed_grains => Place::Hole,
            offset if self.header.compressed => Place::Compressed { offset, skip },
            offset => Place::Data(offset + skip),
        })
    }

    /// Converts an entry of a table from sectors to bytes.
    fn sectors(&mut self, at: u64) -> Result<u64> {
        Ok(u64::from(u32::from_le_bytes(self.file.field(at)?)) * SECTOR)
    }

    /// The part of a place that is inside the file, or past its end.
    fn there(&self, place: Place, run: u64) -> Result<(Place, u64)> {
        match place {
            Place::Data(offset) => match self.file.has(offset, run) {
                0 => Ok((Place::Lacking, run)),
                has => Ok((place, has)),
            },
            Place::Compressed { offset, .. } if offset + 12 >= self.file.size() => {
                Err(Error::malformed("a grain is past the end of the file"))
            }
            _ => Ok((place, run)),
        }
    }
}

impl Place {
    /// Whether `next`, `distance` bytes further on, continues the run that begins here.
    fn goes_on(self, next: Self, distance: u64) -> bool {
        match (self, next) {
            (Self::Hole, Self::Hole) => true,
            (Self::Data(here), Self::Data(there)) => here + distance == there,
            _ => false,
        }
    }
}
