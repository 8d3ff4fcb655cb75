//! Parses any text as a disk of the plugin `data`. The parser returns an error or a disk, and never panics. Each byte
//! of the disk has a source.

#![no_main]

use data_format::{File, Files, Leaf, decode_base64, picture};
use libfuzzer_sys::fuzz_target;

/// A small file that the parser may read, and a large one that it may not.
struct Two;

impl Files for Two {
    fn open(&mut self, name: &str) -> Result<File, String> {
        let (index, size, readable) = match name {
            "a" => (0, 10, true),
            "b" => (1, 100_000, false),
            _ => return Err("there is none".to_owned()),
        };
        Ok(File {
            index,
            size,
            readable,
        })
    }

    fn read(&mut self, file: usize, offset: u64, into: &mut [u8]) -> Result<(), String> {
        assert!(file == 0 && offset + into.len() as u64 <= 10);
        into.fill(1);
        Ok(())
    }
}

fuzz_target!(|bytes: &[u8]| {
    const PAGE: u64 = 1 << 15;
    let text = String::from_utf8_lossy(bytes);
    let _ = decode_base64(&text);
    let variables = |name: &str| match name {
        "v" => Some("1 <a[2:] $w".to_owned()),
        "w" => Some("\\n*3".to_owned()),
        "x" => Some("$x".to_owned()),
        _ => None,
    };
    let Ok(disk) = picture(&text, &variables, &mut Two) else {
        return;
    };
    let mut at = 0;
    for _ in 0..256 {
        if at >= disk.size() {
            break;
        }
        let (leaf, length) = disk.leaf(at);
        assert!(length > 0);
        match leaf {
            Leaf::Bytes(bytes) => assert_eq!(bytes.len() as u64, length),
            Leaf::Fill(byte) => assert_ne!(byte, 0),
            Leaf::File { index, offset, .. } => {
                assert!(offset + length <= [10, 100_000][index]);
            }
            Leaf::Zero => {}
        }
        at = at.saturating_add(length);
    }
    let mut at = 0;
    for _ in 0..64 {
        if at >= disk.size() {
            break;
        }
        let (_, length) = disk.page(at, PAGE, &mut 1000);
        assert!(length > 0 && length % PAGE == 0);
        at = at.saturating_add(length);
    }
});
