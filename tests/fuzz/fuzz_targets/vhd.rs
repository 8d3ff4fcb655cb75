//! Opens a small VHD image with any changes. Every call returns an error or an answer, and never panics. Every answer
//! covers at least one byte.
//!
//! The input is a list of patches, because the library parses nothing that has a wrong checksum. A patch has a
//! structure, an offset in it, and bytes. The target then corrects the checksums. The first byte decides whether the
//! footer and its copy are equal, and how short the last sector is.

#![no_main]

use libfuzzer_sys::fuzz_target;
use vhd_format::fields::checksum;
use vhd_format::{Bytes, Image, Stretch, Tables as _};

/// The offsets of the structures: the footer's copy, the header, the block table, the footer.
const PLACES: [usize; 4] = [0, 512, 1536, LAST];

/// The offset of the footer.
const LAST: usize = 19 * 512;

fuzz_target!(|bytes: &[u8]| {
    let Some((first, bytes)) = bytes.split_first() else {
        return;
    };
    let mut file = image();
    for patch in bytes.chunks_exact(6).take(40) {
        let place = PLACES[usize::from(patch[0]) % PLACES.len()];
        let at = place + usize::from(u16::from_le_bytes([patch[1], patch[2]])) % 500;
        file[at..at + 3].copy_from_slice(&patch[3..]);
    }
    if first & 1 == 0 {
        file.copy_within(LAST.., 0);
    }
    for (start, length, sum) in [(0, 512, 64), (512, 1024, 36), (LAST, 512, 64)] {
        let part = &mut file[start..start + length];
        let right = checksum(part, sum);
        part[sum..sum + 4].copy_from_slice(&right.to_be_bytes());
    }
    file.truncate(file.len() - usize::from(first >> 1));
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
        if let Stretch::Data(offset) | Stretch::Flat(offset) = stretch {
            assert!(offset + length <= file.len() as u64);
        }
        at += length;
    }
});

/// A dynamic disk of 4 KiB in blocks of two sectors. The first block is at sector 4.
fn image() -> Vec<u8> {
    let mut file = vec![0; LAST + 512];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(LAST, b"conectix");
    put(LAST + 16, &512_u64.to_be_bytes());
    put(LAST + 28, b"win ");
    put(LAST + 48, &4096_u64.to_be_bytes());
    put(LAST + 60, &3_u32.to_be_bytes());
    put(512, b"cxsparse");
    put(512 + 16, &1536_u64.to_be_bytes());
    put(512 + 28, &4_u32.to_be_bytes());
    put(512 + 32, &1024_u32.to_be_bytes());
    put(1536, &[0, 0, 0, 4]);
    put(1540, &[0xff; 12]);
    file.copy_within(LAST.., 0);
    file
}
