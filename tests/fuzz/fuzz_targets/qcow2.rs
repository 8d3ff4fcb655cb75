//! Opens any bytes as a qcow2 image over a raw disk. Every call returns an error or an answer, and never panics. Every
//! answer covers at least one byte.

#![no_main]

use libfuzzer_sys::fuzz_target;
use qcow2_format::{Bytes, Chain, Image, Layer, Stretch};

fuzz_target!(|bytes: &[u8]| {
    let _ = Image::open(Bytes(bytes), Some("1"), 1 << 16);
    let Ok(image) = Image::open(Bytes(bytes), None, 1 << 16) else {
        return;
    };
    let mut chain = Chain::new(image, vec![Layer::Raw(100_000)]);
    let size = chain.size();
    let mut at = 0;
    for _ in 0..64 {
        if at >= size {
            break;
        }
        let Ok((stretch, length)) = chain.stretch(at, size - at) else {
            break;
        };
        assert!(length > 0 && length <= size - at);
        if let Stretch::Compressed { layer, at } = stretch {
            let _ = chain.decode(layer, at);
        }
        at += length;
    }
});
