//! The first bytes of an overlay: the disk and export that it belongs to, and its layout.
//!
//! ```text
//! 0     magic, 16 bytes           "nbdbox overlay 1"
//! 16    size of the disk          u64, little-endian like all numbers
//! 24    size of a block           u32
//! 28    length of the name        u32
//! 32    the export's name
//! 8192  the map, a byte for each block: 0 below, 1 here, 2 zeroes; padded with zeroes to a whole block
//! …     the blocks, each at its own offset from here on
//! ```

use nbdbox_plugin::{Error, Result};

/// Size of the header, in bytes.
pub(crate) const HEADER: u64 = 8192;

const MAGIC: &[u8; 16] = b"nbdbox overlay 1";

/// The header of an overlay for this disk.
pub(crate) fn header(export: &str, size: u64, block: u64) -> Vec<u8> {
    let mut header = Vec::with_capacity(HEADER as usize);
    header.extend(MAGIC);
    header.extend(size.to_le_bytes());
    header.extend((block as u32).to_le_bytes());
    header.extend((export.len() as u32).to_le_bytes());
    header.extend(export.as_bytes());
    header.resize(HEADER as usize, 0);
    header
}

/// Compares the header of an overlay with the expected one.
pub(crate) fn check(found: &[u8], wanted: &[u8]) -> Result<()> {
    if found == wanted {
        return Ok(());
    }
    Err(Error::invalid(if found.get(..16) != Some(MAGIC) {
        "the blob `overlay` is neither an overlay nor empty: grant another file"
    } else if found.get(16..24) != wanted.get(16..24) {
        "the overlay belongs to a disk of another size: grant another file"
    } else if found.get(24..28) != wanted.get(24..28) {
        "the overlay has another block size: set the block= that it was made with"
    } else {
        "the overlay belongs to another export: grant another file"
    }))
}
