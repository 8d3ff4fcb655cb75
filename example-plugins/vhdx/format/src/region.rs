//! The region table (2.2.3): where block table and metadata are.

use image_format::Pages;

use crate::fields::{Guid, check, guid, guid_at, u32_at, u64_at};
use crate::{Error, Result, Source};

/// Where the table and its copy are, in bytes, and their length.
const AT: [u64; 2] = [192 << 10, 256 << 10];
const LENGTH: usize = 64 << 10;

/// As many entries as the table has room for.
const MAX_ENTRIES: u32 = 2047;

const BLOCKS: Guid = guid((0x2dc2_7766, 0xf623, 0x4200, 0x9d64, 0x115e_9bfd_4a08));
const METADATA: Guid = guid((0x8b7c_a206, 0x4790, 0x4b9a, 0xb8fe, 0x575f_050f_886e));

/// A part of the file that is inside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// In bytes.
    pub offset: u64,
    /// In bytes.
    pub length: u64,
}

/// The regions that matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Regions {
    /// The block allocation table.
    pub blocks: Region,
    /// The metadata.
    pub metadata: Region,
}

impl Regions {
    /// Reads the table, or its copy where the first one is broken.
    pub fn read<S: Source>(file: &Pages<S>) -> Result<Self> {
        let [one, two] = AT.map(|at| Self::parse(file, at));
        one.or_else(|error| two.map_err(|_| error))
    }

    fn parse<S: Source>(file: &Pages<S>, at: u64) -> Result<Self> {
        let bytes = file.read(at, LENGTH)?;
        check("region table", &bytes, b"regi")?;
        let count = u32_at(&bytes, 8)?;
        if count > MAX_ENTRIES {
            return Err(Error::malformed(format!("{count} regions")));
        }
        let (mut blocks, mut metadata) = (None, None);
        for entry in bytes[16..].chunks_exact(32).take(count as usize) {
            let place = match guid_at(entry, 0)? {
                BLOCKS => &mut blocks,
                METADATA => &mut metadata,
                _ if u32_at(entry, 28)? & 1 == 0 => continue,
                _ => return Err(Error::unsupported("an unknown region that is required")),
            };
            let region = Region {
                offset: u64_at(entry, 16)?,
                length: u32_at(entry, 24)?.into(),
            };
            region.check(file.size())?;
            if place.replace(region).is_some() {
                return Err(Error::malformed("a region that is there twice"));
            }
        }
        let both = blocks.zip(metadata);
        let both = both.ok_or_else(|| Error::malformed("without a block table or metadata"))?;
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
            "a region of {length} bytes at {offset}: not aligned, or past the end of the file"
        )))
    }
}
