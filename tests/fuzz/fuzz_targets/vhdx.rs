//! Opens a small VHDX image with any changes. Every call returns an error or an answer, and never panics. Every answer
//! covers at least one byte.
//!
//! The input is a list of patches, because the library parses no structure that has a wrong checksum. A patch has a
//! structure, an offset in it, and bytes. The target then corrects the checksums. The first byte decides whether the
//! image has a log to replay.

#![no_main]

use crc::{CRC_32_ISCSI, Crc};
use libfuzzer_sys::fuzz_target;
use vhdx_format::{Bytes, Image, Stretch, Tables as _};

/// The offsets of the structures: identifier, headers, region tables, metadata table and items, block table, log.
const PLACES: [usize; 10] = [
    0,
    64 << 10,
    128 << 10,
    192 << 10,
    256 << 10,
    1 << 20,
    (1 << 20) + (64 << 10),
    2 << 20,
    LOG,
    LOG + 4096,
];

/// The offset of the log, which has one entry of 8 KiB.
const LOG: usize = 4 << 20;

fuzz_target!(|bytes: &[u8]| {
    let Some((first, bytes)) = bytes.split_first() else {
        return;
    };
    let mut file = image();
    if first & 1 == 1 {
        log(&mut file);
    }
    for patch in bytes.chunks_exact(6).take(40) {
        let place = PLACES[usize::from(patch[0]) % PLACES.len()];
        let at = place + usize::from(u16::from_le_bytes([patch[1], patch[2]])) % 512;
        file[at..at + 3].copy_from_slice(&patch[3..]);
    }
    for (start, length) in [(64, 4), (128, 4), (192, 64), (256, 64)] {
        seal(&mut file[start << 10..][..length << 10]);
    }
    seal(&mut file[LOG..][..8192]);
    let Ok(mut image) = Image::open(Bytes(&file[..]), 1 << 16) else {
        return;
    };
    let size = image.size();
    let mut at = 0;
    for _ in 0..64 {
        if at >= size {
            break;
        }
        let reach = image.reach(at);
        assert!(reach.contains(&at) && reach.end <= size);
        let Ok((stretch, length)) = image.stretch(at, size - at) else {
            break;
        };
        assert!(length > 0 && length <= size - at);
        if let Stretch::Data(offset) = stretch {
            assert!(offset + length <= file.len() as u64);
        }
        at += length;
    }
});

/// A disk of 4 MiB in blocks of 1 MiB. The first block is at 3 MiB.
fn image() -> Vec<u8> {
    let mut file = vec![0; 5 << 20];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"vhdxfile");
    for header in [64 << 10, 128 << 10] {
        put(header, b"head");
        put(header + 66, &[1]);
    }
    let blocks = 0x2dc2_7766_f623_4200_9d64_115e_9bfd_4a08_u128;
    let metadata = 0x8b7c_a206_4790_4b9a_b8fe_575f_050f_886e_u128;
    for table in [192 << 10, 256 << 10] {
        put(table, b"regi");
        put(table + 8, &[2]);
        for (number, guid, offset, length) in [
            (0, blocks, 2 << 20, 1 << 20),
            (1, metadata, 1 << 20, 1 << 20),
        ] {
            let entry = table + 16 + 32 * number;
            put(entry, &mixed(guid));
            put(entry + 16, &u64::to_le_bytes(offset));
            put(entry + 24, &u32::to_le_bytes(length));
        }
    }
    let metadata = 1 << 20;
    put(metadata, b"metadata");
    put(metadata + 10, &[3]);
    let items: [(u128, &[u8]); 3] = [
        (
            0xcaa1_6737_fa36_4d43_b3b6_33f0_aa44_e76b,
            &[0, 0, 0x10, 0, 0, 0, 0, 0],
        ),
        (
            0x2fa5_4224_cd1b_4876_b211_5dbe_d83b_f4b8,
            &[0, 0, 0x40, 0, 0, 0, 0, 0],
        ),
        (0x8141_bf1d_a96f_4709_ba47_f233_a8fa_ab5f, &[0, 2, 0, 0]),
    ];
    for (number, (guid, item)) in items.into_iter().enumerate() {
        let (entry, offset) = (metadata + 32 + 32 * number, (64 << 10) + 16 * number);
        put(entry, &mixed(guid));
        put(entry + 16, &u32::to_le_bytes(offset as u32));
        put(entry + 20, &u32::to_le_bytes(item.len() as u32));
        put(metadata + offset, item);
    }
    put(2 << 20, &u64::to_le_bytes(3 << 20 | 6));
    file
}

/// Adds a log. Its only entry writes the first sector of the block table, which has the first block.
fn log(file: &mut [u8]) {
    const GUID: [u8; 16] = [0x77; 16];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    for header in [64 << 10, 128 << 10] {
        put(header + 48, &GUID);
        put(header + 68, &u32::to_le_bytes(1 << 20));
        put(header + 72, &u64::to_le_bytes(LOG as u64));
    }
    put(LOG, b"loge");
    put(LOG + 8, &u32::to_le_bytes(8192));
    put(LOG + 16, &[1]);
    put(LOG + 24, &[1]);
    put(LOG + 32, &GUID);
    put(LOG + 64, b"desc");
    put(LOG + 72, &u64::to_le_bytes(3 << 20 | 6));
    put(LOG + 80, &u64::to_le_bytes(2 << 20));
    put(LOG + 88, &[1]);
    put(LOG + 4096, b"data");
    put(LOG + 8188, &[1]);
}

/// A GUID in the byte order of a file, where its first three groups are little-endian.
fn mixed(guid: u128) -> [u8; 16] {
    let mut bytes = guid.to_be_bytes();
    bytes[..4].reverse();
    bytes[4..6].reverse();
    bytes[6..8].reverse();
    bytes
}

/// Corrects the checksum of a structure.
fn seal(part: &mut [u8]) {
    part[4..8].fill(0);
    let sum = Crc::<u32>::new(&CRC_32_ISCSI).checksum(part);
    part[4..8].copy_from_slice(&sum.to_le_bytes());
}
