//! Big-endian fields of a byte string that may be too short.

use image_format::field;

use crate::Result;

/// The 16-bit field at `at`.
pub fn u16_at(bytes: &[u8], at: usize) -> Result<u16> {
    Ok(u16::from_be_bytes(field(bytes, at)?))
}

/// The 32-bit field at `at`.
pub fn u32_at(bytes: &[u8], at: usize) -> Result<u32> {
    Ok(u32::from_be_bytes(field(bytes, at)?))
}

/// The 64-bit field at `at`.
pub fn u64_at(bytes: &[u8], at: usize) -> Result<u64> {
    Ok(u64::from_be_bytes(field(bytes, at)?))
}
