//! The region table (2.2.3): the places of block table and metadata.

use image_format::Pages;

use crate::fields::{Guid, check, guid, guid_at, u32_at, u64_at};
use crate::{Error, Result, Source};

/// The offsets of the table and its copy, and their length, in bytes.
const AT: [u64; 2] = [192 << 10, 256 << 10];
const LENGTH: usize = 64 << 10;

/// The most entries that the table has room for.
const MAX_ENTRIES: u32 = 2047;

const BLOCKS: Guid = guid((0x2dc2_7766, 0xf623, 0x4200, 0x9d64, 0x115e_9bfd_4a08));
const METADATA: Guid = guid((0x8b7c_a206, 0x4790, 0x4b9a, 0xb8fe, 0x575f_050f_886e));

/// A region that is inside the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// In bytes.
    pub offset: u64,
    /// In bytes.
    pub length: u64,
}

/// The regions that this crate uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Regions {
    /// The block allocation table.
    pub blocks: Region,
    /// The metadata.
    pub metadata: Region,
}

impl Regions {
    /// Reads the table, or its copy if the table is damaged.
    pub fn read<S: Source>(file: &Pages<S>) -> Result<Self> {
        let [one, two] = AT.map(|at| Self::parse(file, at));
        one.or_else(|error| two.map_err(|_| error))
    }

    fn parse<S: Source>(file: &Pages<S>, at: u64) -> Result<Self> {
        let bytes = file.read(at, LENGTH)?;
        check("region table", &bytes, b"regi")?;
        let count = u32_at(&bytes, 8)?;
        if count > MAX_ENTRIES {
            return Err(Error::malformed(format!("too many regions: {count}")));
        }
        let (mut blocks, mut metadata) = (None, None);
        for entry in bytes[16..].chunks_exact(32).take(count as usize) {
            let place = match guid_at(entry, 0)? {
                BLOCKS => &mut blocks,
                METADATA => &mut metadata,
                _ if u32_at(entry, 28)? & 1 == 0 => continue,
                _ => return Err(Error::unsupported("a required region is unknown")),
            };
            let region = Region {
                offset: u64_at(entry, 16)?,
                length: u32_at(entry, 24)?.into(),
            };
            region.check(file.size())?;
            if place.replace(region).is_some() {
                return Err(Error::malformed("a region is listed twice"));
            }
        }
        let both = blocks.zip(metadata);
        let both =
            both.ok_or_else(|| Error::malformed("the block table or the metadata is missing"))?;
        Ok(Self {
            blocks: both.0,
            metadata: both.1,
        })
    }
}

impl Region {
    fn check(self, size: u64) -> Result<()> {
        let end = self.offset.checked_add(self.length);
        if self.offset.is_multiple_of(1 << 20)
            && self.offset > 0
            && end.is_some_and(|end| end <= size)
        {
            return Ok(());
        }
        let (offset, length) = (self.offset, self.length);
        Err(Error::malformed(format!(
            "the region at {offset}, {length} bytes, isn't aligned or is past the end of the file"
        )))
    }
}
