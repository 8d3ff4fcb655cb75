//! Big-endian fields, and the checksum of structures.

use image_format::field;

use crate::Result;

/// The 32-bit field at `at`.
pub fn u32_at(bytes: &[u8], at: usize) -> Result<u32> {
    Ok(u32::from_be_bytes(field(bytes, at)?))
}

/// The 64-bit field at `at`.
pub fn u64_at(bytes: &[u8], at: usize) -> Result<u64> {
    Ok(u64::from_be_bytes(field(bytes, at)?))
}

/// The complement of the sum of all bytes, except those of the 32-bit field at `at`, which holds the checksum.
pub fn checksum(bytes: &[u8], at: usize) -> u32 {
    let own = at..at + 4;
    let others = bytes
        .iter()
        .enumerate()
        .filter(|(place, _)| !own.contains(place));
    !others.fold(0, |sum: u32, (_, byte)| sum.wrapping_add(u32::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_leaves_itself_out() {
        assert_eq!(checksum(&[1, 2, 9, 9, 9, 9, 3], 2), !6);
        assert_eq!(checksum(&[0; 8], 4), u32::MAX);
    }
}
