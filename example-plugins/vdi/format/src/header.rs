//! The header, checked field by field.

use image_format::{Pages, field};

use crate::{Error, Result, SECTOR, Source};

const SIGNATURE: u32 = 0xbeda_107f;

/// 1.1, which VirtualBox has written since its first release.
const VERSION: u32 = 0x0001_0001;

/// Bytes of the largest disk, as much as QEMU takes: as many blocks of 1 MiB as its table may have entries.
const MAX_SIZE: u64 = 0x1fff_ff80 << 20;

/// Bytes of a block. Restrains the image's author: a block of one sector would make a table as large as an
/// eighth of the disk's part that it describes. VirtualBox and QEMU write 1 MiB.
const BLOCK: std::ops::RangeInclusive<u32> = 4096..=256 << 20;

/// What the header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Of the disk, in bytes.
    pub size: u64,
    /// Of a block, in bytes: a power of two.
    pub block: u64,
    /// Where the block table is, in bytes.
    pub table: u64,
    /// Where the first block is, in bytes.
    pub data: u64,
    /// All blocks were there from the beginning.
    pub is_fixed: bool,
}

impl Header {
    /// Reads and checks it.
    pub fn read<S: Source>(file: &Pages<S>) -> Result<Self> {
        let bytes = file.read_padded(0, SECTOR as usize)?;
        if u32_at(&bytes, 0x40)? != SIGNATURE {
            return Err(Error::malformed("not a VDI image"));
        }
        let version = u32_at(&bytes, 0x44)?;
        if version != VERSION {
            let (major, minor) = (version >> 16, version & 0xffff);
            return Err(Error::unsupported(format!("VDI version {major}.{minor}")));
        }
        let parents = bytes.get(0x1a8..0x1c8).unwrap_or_default();
        let kind = u32_at(&bytes, 0x4c)?;
        if kind == 4 || parents.iter().any(|byte| *byte != 0) {
            return Err(Error::unsupported("it stands on a parent"));
        }
        if !matches!(kind, 1 | 2) {
            return Err(Error::unsupported(format!("an image of type {kind}")));
        }
        let size = u64_at(&bytes, 0x170)?;
        let header = Self {
            // VirtualBox has made disks whose last sector is short.
            size: size.checked_next_multiple_of(SECTOR).unwrap_or(size),
            block: u32_at(&bytes, 0x178)?.into(),
            table: u32_at(&bytes, 0x154)?.into(),
            data: u32_at(&bytes, 0x158)?.into(),
            is_fixed: kind == 2,
        };
        header.check(&bytes, file.size())?;
        Ok(header)
    }

    fn check(&self, bytes: &[u8], file: u64) -> Result<()> {
        let Self {
            size,
            block,
            table,
            data,
            ..
        } = *self;
        let sector = u32_at(bytes, 0x168)?;
        if u64::from(sector) != SECTOR {
            return Err(Error::unsupported(format!("sectors of {sector} bytes")));
        }
        if !block.is_power_of_two() || !BLOCK.contains(&(block as u32)) {
            return Err(Error::unsupported(format!("blocks of {block} bytes")));
        }
        let extra = u32_at(bytes, 0x17c)?;
        if extra != 0 {
            return Err(Error::unsupported(format!(
                "blocks with {extra} bytes of their own before the data"
            )));
        }
        if size == 0 || size > MAX_SIZE {
            return Err(Error::malformed(format!("a disk of {size} bytes")));
        }
        if u64::from(u32_at(bytes, 0x180)?) * block < size {
            return Err(Error::malformed(
                "a block table that is too short for the disk",
            ));
        }
        if !table.is_multiple_of(SECTOR) || !data.is_multiple_of(SECTOR) {
            return Err(Error::unsupported(format!(
                "a block table at {table} and blocks from {data} on: not on whole sectors"
            )));
        }
        // A table of which nothing is there would make a disk of zeroes.
        if table >= file {
            return Err(Error::malformed(format!(
                "a block table at {table}: past the end of the file"
            )));
        }
        Ok(())
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32> {
    Ok(u32::from_le_bytes(field(bytes, at)?))
}

fn u64_at(bytes: &[u8], at: usize) -> Result<u64> {
    Ok(u64::from_le_bytes(field(bytes, at)?))
}
