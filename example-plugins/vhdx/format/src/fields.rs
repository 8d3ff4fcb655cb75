//! Little-endian fields, GUIDs, and the checksum of structures.

use crc::{CRC_32_ISCSI, Crc};
use image_format::field;

use crate::{Error, Result};

/// A GUID in the byte order of a file.
pub type Guid = [u8; 16];

/// The GUID of these five groups, as in its text form.
pub const fn guid(groups: (u32, u16, u16, u16, u64)) -> Guid {
    let (a, b, c) = (
        groups.0.to_le_bytes(),
        groups.1.to_le_bytes(),
        groups.2.to_le_bytes(),
    );
    let (d, e) = (groups.3.to_be_bytes(), groups.4.to_be_bytes());
    [
        a[0], a[1], a[2], a[3], b[0], b[1], c[0], c[1], d[0], d[1], e[2], e[3], e[4], e[5], e[6],
        e[7],
    ]
}

/// The 16-bit field at `at`.
pub fn u16_at(bytes: &[u8], at: usize) -> Result<u16> {
    Ok(u16::from_le_bytes(field(bytes, at)?))
}

/// The 32-bit field at `at`.
pub fn u32_at(bytes: &[u8], at: usize) -> Result<u32> {
    Ok(u32::from_le_bytes(field(bytes, at)?))
}

/// The 64-bit field at `at`.
pub fn u64_at(bytes: &[u8], at: usize) -> Result<u64> {
    Ok(u64::from_le_bytes(field(bytes, at)?))
}

/// The GUID at `at`.
pub fn guid_at(bytes: &[u8], at: usize) -> Result<Guid> {
    field(bytes, at)
}

/// Checks that a structure begins with its signature, and that the CRC-32C at byte 4 is right.
pub fn check(what: &str, bytes: &[u8], signature: &[u8; 4]) -> Result<()> {
    if !bytes.starts_with(signature) {
        return Err(Error::malformed(format!("there is no {what}")));
    }
    let crc = Crc::<u32>::new(&CRC_32_ISCSI);
    let mut digest = crc.digest();
    digest.update(&bytes[..4]);
    digest.update(&[0; 4]);
    digest.update(bytes.get(8..).unwrap_or_default());
    if digest.finalize() == u32_at(bytes, 4)? {
        Ok(())
    } else {
        Err(Error::malformed(format!("the {what} has a wrong checksum")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guids_are_in_the_files_order() {
        let bat = guid((0x2dc2_7766, 0xf623, 0x4200, 0x9d64, 0x115e_9bfd_4a08));
        let bytes = [
            0x66, 0x77, 0xc2, 0x2d, 0x23, 0xf6, 0x00, 0x42, 0x9d, 0x64, 0x11, 0x5e, 0x9b, 0xfd,
            0x4a, 0x08,
        ];
        assert_eq!(bat, bytes);
    }

    #[test]
    fn a_checksum_leaves_itself_out() {
        // The CRC-32C of "regi", four zeroes and "12345678".
        let crc = Crc::<u32>::new(&CRC_32_ISCSI).checksum(b"regi\0\0\0\x0012345678");
        let mut bytes = b"regi\0\0\0\x0012345678".to_vec();
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        assert!(check("table", &bytes, b"regi").is_ok());
        assert!(check("table", &bytes, b"head").is_err());
        bytes[9] ^= 1;
        assert!(check("table", &bytes, b"regi").is_err());
        assert!(check("table", b"regi", b"regi").is_err());
    }
}
