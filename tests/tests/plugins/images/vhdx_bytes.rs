//! VHDX files, byte by byte.

use std::fs;

use super::folder::Folder;

/// The offsets of the headers, and of the region tables.
pub(crate) const HEADERS: [u64; 2] = [64 << 10, 128 << 10];
pub(crate) const REGIONS: [u64; 2] = [192 << 10, 256 << 10];

/// An image of this size with data in its first block.
pub(crate) fn create(folder: &Folder, size: u64) {
    let options = "subformat=dynamic,block_size=1M";
    folder.create("vhdx", &["-o", options], "top", size);
    folder.change("vhdx", "top", &["write -P 7 0 200k".to_owned()]);
}

/// CRC-32C, bit by bit.
pub(crate) fn checksum(bytes: &[u8]) -> u32 {
    let step = |crc: u32| {
        if crc & 1 == 1 {
            crc >> 1 ^ 0x82f6_3b78
        } else {
            crc >> 1
        }
    };
    let byte = |crc: u32, byte: &u8| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc));
    !bytes.iter().fold(!0, byte)
}

/// Changes a structure, and corrects its checksum.
pub(crate) fn patch_checked(folder: &Folder, start: u64, length: usize, at: usize, change: &[u8]) {
    let bytes = fs::read(folder.path("top")).unwrap();
    let start = usize::try_from(start).unwrap();
    let mut part = bytes[start..start + length].to_vec();
    part[at..at + change.len()].copy_from_slice(change);
    part[4..8].fill(0);
    let sum = checksum(&part);
    part[4..8].copy_from_slice(&sum.to_le_bytes());
    folder.patch("top", start as u64, &part);
}

/// The offset of a region, by the first bytes of its GUID.
pub(crate) fn region(folder: &Folder, guid: [u8; 4]) -> u64 {
    let bytes = fs::read(folder.path("top")).unwrap();
    let table = &bytes[192 << 10..256 << 10];
    let entry = table[16..]
        .chunks(32)
        .find(|entry| entry.starts_with(&guid));
    u64::from_le_bytes(entry.unwrap()[16..24].try_into().unwrap())
}

pub(crate) const BLOCKS: [u8; 4] = [0x66, 0x77, 0xc2, 0x2d];
pub(crate) const METADATA: [u8; 4] = [0x06, 0xa2, 0x7c, 0x8b];
