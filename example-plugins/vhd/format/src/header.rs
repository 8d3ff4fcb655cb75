//! The header of a dynamic disk: its blocks, and where the table of them is.

use image_format::Pages;

use crate::fields::{checksum, u32_at, u64_at};
use crate::{Error, Result, SECTOR, Source};

const COOKIE: &[u8] = b"cxsparse";

const LENGTH: usize = 1024;

/// Where the checksum is.
const CHECKSUM: usize = 36;

/// What the header says, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Of a block, in bytes: a power of two, 512 at least.
    pub block: u64,
    /// Where the table is, in bytes.
    pub table: u64,
}

impl Header {
    /// Reads the one at `at`, for a disk of `size` bytes.
    pub fn read<S: Source>(file: &Pages<S>, at: u64, size: u64) -> Result<Self> {
        if at >= file.size() {
            return Err(Error::malformed(format!(
                "a header at {at}: past the end of the file"
            )));
        }
        let bytes = file.read_padded(at, LENGTH)?;
        if !bytes.starts_with(COOKIE) {
            return Err(Error::malformed("a dynamic disk without a header"));
        }
        if u32_at(&bytes, CHECKSUM)? != checksum(&bytes, CHECKSUM) {
            return Err(Error::malformed("a header with a wrong checksum"));
        }
        let (entries, block) = (u32_at(&bytes, 28)?, u32_at(&bytes, 32)?);
        if !block.is_power_of_two() || u64::from(block) < SECTOR {
            return Err(Error::malformed(format!("blocks of {block} bytes")));
        }
        let header = Self {
            block: block.into(),
            table: u64_at(&bytes, 16)?,
        };
        if u64::from(entries) * header.block < size {
            return Err(Error::malformed(
                "a block table that is too short for the disk",
            ));
        }
        // A table of which nothing is there would make a disk of zeroes.
        if !header.table.is_multiple_of(4) || header.table >= file.size() {
            return Err(Error::malformed(format!(
                "a block table at {}: not aligned, or past the end of the file",
                header.table
            )));
        }
        Ok(header)
    }

    /// Bytes before the data of a block, which say of each of its sectors whether it was written. They don't
    /// matter without a parent: what wasn't written is zeroes.
    pub fn bitmap(&self) -> u64 {
        (self.block / SECTOR).div_ceil(8).next_multiple_of(SECTOR)
    }
}
