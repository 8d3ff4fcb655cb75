//! The header, checked field by field.

use image_format::{Pages, field};

use crate::{Error, Result, SECTOR, Source};

const SIGNATURE: u32 = 0xbeda_107f;

/// 1.1, which VirtualBox has written since its first release.
const VERSION: u32 = 0x0001_0001;

/// Size of the largest disk in bytes, as in QEMU: as many blocks of 1 MiB as its table may have entries.
const MAX_SIZE: u64 = 0x1fff_ff80 << 20;

/// Sizes of a block in bytes. Restrains the image's author: with blocks of one sector, a table would be large for the
/// disk that it describes. VirtualBox and QEMU write blocks of 1 MiB.
const BLOCK: std::ops::RangeInclusive<u32> = 4096..=256 << 20;

/// The fields of the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Size of the disk, in bytes.
    pub size: u64,
    /// Size of a block, in bytes: a power of two.
    pub block: u64,
    /// The offset of the block table, in bytes.
    pub table: u64,
    /// The offset of the first block, in bytes.
    pub data: u64,
    /// The image is fixed: all blocks were allocated at the beginning.
    pub is_fixed: bool,
}

impl Header {
    /// Reads and checks the header.
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
            return Err(Error::unsupported("it has a parent image"));
        }
        if !matches!(kind, 1 | 2) {
            return Err(Error::unsupported(format!("image type {kind}")));
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
            return Err(Error::unsupported(format!("sector size {sector}")));
        }
        if !block.is_power_of_two() || !BLOCK.contains(&(block as u32)) {
            return Err(Error::unsupported(format!("block size {block}")));
        }
        let extra = u32_at(bytes, 0x17c)?;
        if extra != 0 {
            return Err(Error::unsupported(format!(
                "{extra} extra bytes before the data of each block"
            )));
        }
        if size == 0 || size > MAX_SIZE {
            return Err(Error::malformed(format!("invalid disk size {size}")));
        }
        if u64::from(u32_at(bytes, 0x180)?) * block < size {
            return Err(Error::malformed(
                "the block table is too short for the disk",
            ));
        }
        if !table.is_multiple_of(SECTOR) || !data.is_multiple_of(SECTOR) {
            return Err(Error::unsupported(format!(
                "the block table at {table} or the blocks at {data} aren't on whole sectors"
            )));
        }
        // A table past the end of the file would make a disk of zeroes.
        if table >= file {
            return Err(Error::malformed(format!(
                "the block table at {table} is past the end of the file"
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
