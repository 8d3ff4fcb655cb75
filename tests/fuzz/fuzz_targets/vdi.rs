//! Opens any bytes as a VDI image. Every call returns an error or an answer, and never panics. Every answer covers at
//! least one byte.

#![no_main]

use libfuzzer_sys::fuzz_target;
use vdi_format::{Bytes, Image, Stretch, Tables as _};

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut image) = Image::open(Bytes(bytes), 1 << 16) else {
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
            assert!(offset + length <= bytes.len() as u64);
        }
        at += length;
    }
});
