//! The entries of the block table (2.5.1.1).

use crate::{Error, Result};

/// The place of a payload block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Not stored: it reads as zeroes.
    Hole,
    /// At this offset of the file, in bytes.
    Data(u64),
}

/// Decodes the entry of a payload block.
pub fn place(entry: u64) -> Result<Place> {
    let offset = entry & !0xf_ffff;
    match entry & 7 {
        // Not present, undefined, zero, unmapped, and unmapped in an early draft.
        0 | 1 | 2 | 3 | 5 => Ok(Place::Hole),
        6 => Ok(Place::Data(offset)),
        7 => Err(Error::malformed(
            "a block is partly in a parent, but there is no parent",
        )),
        state => Err(Error::malformed(format!("invalid block state {state}"))),
    }
}
