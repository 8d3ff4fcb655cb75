//! What an entry of the block table says (2.5.1.1).

use crate::{Error, Result};

/// Where a payload block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Nowhere: it reads as zeroes.
    Hole,
    /// At this offset of the file, in bytes.
    Data(u64),
}

/// Reads an entry for a payload block.
pub fn place(entry: u64) -> Result<Place> {
    let offset = entry & !0xf_ffff;
    match entry & 7 {
        // Not present, undefined, zero, unmapped, and unmapped in an early draft.
        0 | 1 | 2 | 3 | 5 => Ok(Place::Hole),
        6 => Ok(Place::Data(offset)),
        7 => Err(Error::malformed(
            "a block that is partly in a parent, without one",
        )),
        state => Err(Error::malformed(format!("a block in state {state}"))),
    }
}
