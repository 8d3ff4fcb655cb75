//! The header of a dynamic disk: the size of its blocks, and the place of its block table.

use image_format::Pages;

use crate::fields::{checksum, u32_at, u64_at};
use crate::{Error, Result, SECTOR, Source};

const COOKIE: &[u8] = b"cxsparse";

const LENGTH: usize = 1024;

/// The offset of the checksum.
const CHECKSUM: usize = 36;

/// The fields of the header, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Size of a block, in bytes: a power of two, 512 at least.
    pub block: u64,
    /// The offset of the table, in bytes.
    pub table: u64,
}

impl Header {
    /// Reads the header at `at`, for a disk of `size` bytes.
    pub fn read<S: Source>(file: &Pages<S>, at: u64, size: u64) -> Result<Self> {
        if at >= file.size() {
            return Err(Error::malformed(format!(
                "the header at {at} is past the end of the file"
            )));
        }
        let bytes = file.read_padded(at, LENGTH)?;
        if !bytes.starts_with(COOKIE) {
            return Err(Error::malformed("the dynamic disk has no header"));
        }
        if u32_at(&bytes, CHECKSUM)? != checksum(&bytes, CHECKSUM) {
            return Err(Error::malformed("the header has a wrong checksum"));
        }
        let (entries, block) = (u32_at(&bytes, 28)?, u32_at(&bytes, 32)?);
        if !block.is_power_of_two() || u64::from(block) < SECTOR {
            return Err(Error::malformed(format!("invalid block size {block}")));
        }
        let header = Self {
            block: block.into(),
            table: u64_at(&bytes, 16)?,
        };
        if u64::from(entries) * header.block < size {
            return Err(Error::malformed(
                "the block table is too short for the disk",
            ));
        }
        // A table past the end of the file would make a disk of zeroes.
        if !header.table.is_multiple_of(4) || header.table >= file.size() {
            return Err(Error::malformed(format!(
                "the block table at {} isn't aligned, or is past the end of the file",
                header.table
            )));
        }
        Ok(header)
    }

    /// Size of the bitmap before the data of a block, in bytes. It marks the written sectors. Without a parent it is
    /// irrelevant, because unwritten sectors are zeroes.
    pub fn bitmap(&self) -> u64 {
        (self.block / SECTOR).div_ceil(8).next_multiple_of(SECTOR)
    }
}
