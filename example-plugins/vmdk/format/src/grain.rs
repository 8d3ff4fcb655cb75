//! Compressed grains. Any input decodes to at most one grain.

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress, inflate_flags};

use crate::{Error, Result};

/// Decodes one grain of at most `size` bytes. The last grain of a disk may be shorter.
pub fn decode(bytes: &[u8], size: usize) -> Result<Vec<u8>> {
    let mut grain = vec![0; size];
    let flags = inflate_flags::TINFL_FLAG_PARSE_ZLIB_HEADER
        | inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    let (status, _, made) = decompress(&mut DecompressorOxide::new(), bytes, &mut grain, 0, flags);
    if status != TINFLStatus::Done {
        return Err(Error::malformed("a compressed grain can't be decoded"));
    }
    grain.truncate(made);
    Ok(grain)
}
