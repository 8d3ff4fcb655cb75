//! The metadata (2.6): the sizes of the disk and of its blocks.

use image_format::Pages;

use crate::fields::{Guid, guid, guid_at, u16_at, u32_at, u64_at};
use crate::region::Region;
use crate::{Error, Result, Source};

/// Size of the table in bytes. The items follow it.
const TABLE: u64 = 64 << 10;

const MAX_ENTRIES: u16 = 2047;

/// The largest disk (2.6.2.2).
const MAX_SIZE: u64 = 64 << 40;

const PARAMETERS: Guid = guid((0xcaa1_6737, 0xfa36, 0x4d43, 0xb3b6, 0x33f0_aa44_e76b));
const SIZE: Guid = guid((0x2fa5_4224, 0xcd1b, 0x4876, 0xb211, 0x5dbe_d83b_f4b8));
const IDENTIFIER: Guid = guid((0xbeca_12ab, 0xb2e6, 0x4523, 0x93ef, 0xc309_e000_c746));
const LOGICAL_SECTOR: Guid = guid((0x8141_bf1d, 0xa96f, 0x4709, 0xba47, 0xf233_a8fa_ab5f));
const PHYSICAL_SECTOR: Guid = guid((0xcda3_48c7, 0x445d, 0x4471, 0x9cc9, 0xe988_5251_c556));
const PARENT: Guid = guid((0xa8d3_5f2d, 0xb30b, 0x454d, 0xabf7, 0xd3d8_4834_ab0c));

/// The fields of the metadata, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metadata {
    /// Size of the disk, in bytes.
    pub size: u64,
    /// Size of a block, in bytes: a power of two from 1 MiB to 256 MiB.
    pub block: u64,
    /// 512 or 4096.
    pub sector: u32,
}

impl Metadata {
    /// Reads and checks the metadata.
    pub fn read<S: Source>(file: &Pages<S>, region: Region) -> Result<Self> {
        let table = file.read(region.offset, TABLE.min(region.length) as usize)?;
        if !table.starts_with(b"metadata") {
            return Err(Error::malformed("there is no metadata"));
        }
        let count = u16_at(&table, 10)?;
        if count > MAX_ENTRIES {
            return Err(Error::malformed(format!(
                "too many items of metadata: {count}"
            )));
        }
        let (mut parameters, mut size, mut sector) = (None, None, None);
        for entry in table[32..].chunks_exact(32).take(count.into()) {
            let item = |length| item(file, region, entry, length);
            match guid_at(entry, 0)? {
                PARAMETERS => parameters = Some(u64_at(&item(8)?, 0)?),
                SIZE => size = Some(u64_at(&item(8)?, 0)?),
                LOGICAL_SECTOR => sector = Some(u32_at(&item(4)?, 0)?),
                IDENTIFIER | PHYSICAL_SECTOR | PARENT => {}
                _ if u32_at(entry, 24)? & 4 == 0 => {}
                _ => return Err(Error::unsupported("a required item of metadata is unknown")),
            }
        }
        let missing =
            || Error::malformed("the size of the disk, of its blocks or of its sectors is missing");
        let (parameters, size) = parameters.zip(size).ok_or_else(missing)?;
        let metadata = Self {
            size,
            block: parameters & 0xffff_ffff,
            sector: sector.ok_or_else(missing)?,
        };
        metadata.check(parameters >> 33 & 1 == 1)
    }

    fn check(self, has_parent: bool) -> Result<Self> {
        let Self {
            size,
            block,
            sector,
        } = self;
        if has_parent {
            return Err(Error::unsupported("it has a parent image"));
        }
        if !block.is_power_of_two() || !(1 << 20..=256 << 20).contains(&block) {
            return Err(Error::malformed(format!("invalid block size {block}")));
        }
        if !matches!(sector, 512 | 4096) {
            return Err(Error::malformed(format!("invalid sector size {sector}")));
        }
        if size == 0 || size > MAX_SIZE || size % u64::from(sector) != 0 {
            return Err(Error::malformed(format!("invalid disk size {size}")));
        }
        Ok(self)
    }

    /// Payload blocks between two bitmap entries of the block table (2.5).
    pub fn chunk(self) -> u64 {
        (u64::from(self.sector) << 23) / self.block
    }
}

/// Reads the first `length` bytes of an item.
fn item<S: Source>(file: &Pages<S>, region: Region, entry: &[u8], length: u32) -> Result<Vec<u8>> {
    let (offset, has) = (u32_at(entry, 16)?, u32_at(entry, 20)?);
    let end = u64::from(offset) + u64::from(length);
    if has < length || u64::from(offset) < TABLE || end > region.length {
        return Err(Error::malformed(format!(
            "an item of metadata, {has} bytes at {offset}, isn't inside its region"
        )));
    }
    file.read(region.offset + u64::from(offset), length as usize)
}
