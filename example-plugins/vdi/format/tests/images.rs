//! Images made byte by byte: the meaning of each field, and its invalid values.

use vdi_format::{Bytes, Error, Image, Result, Stretch, Tables as _};

const TABLE: usize = 512;
const DATA: usize = 1024;
const BLOCK: usize = 4096;

/// Blocks of 4 KiB: a table of four entries at 512, and three blocks from 1024 on.
#[derive(Clone)]
struct Made(Vec<u8>);

impl Made {
    fn new(size: u64) -> Self {
        Self(vec![0; DATA + 3 * BLOCK])
            .with(0x40, &[0x7f, 0x10, 0xda, 0xbe, 1, 0, 1, 0])
            .with(0x4c, &[1])
            .with(0x154, &(TABLE as u32).to_le_bytes())
            .with(0x158, &(DATA as u32).to_le_bytes())
            .with(0x168, &512_u32.to_le_bytes())
            .with(0x170, &size.to_le_bytes())
            .with(0x178, &(BLOCK as u32).to_le_bytes())
            .with(0x180, &[4])
            .with(TABLE, &[0xff; 16])
    }

    fn with(mut self, at: usize, bytes: &[u8]) -> Self {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    /// Entry `index` of the table: a block.
    fn entry(self, index: usize, block: u32) -> Self {
        self.with(TABLE + 4 * index, &block.to_le_bytes())
    }

    fn open(&self) -> Result<Image<Bytes<Vec<u8>>>> {
        Image::open(Bytes(self.0.clone()), 1 << 16)
    }
}

fn stretches(image: &mut Image<Bytes<Vec<u8>>>) -> Result<Vec<(u64, Stretch)>> {
    let (mut at, mut found) = (0, Vec::new());
    while at < image.size() {
        let (stretch, length) = image.stretch(at, image.size() - at)?;
        found.push((at, stretch));
        at += length;
    }
    Ok(found)
}

const fn place(block: u64) -> u64 {
    DATA as u64 + block * BLOCK as u64
}

#[test]
fn neighbours_are_one_stretch_and_the_last_block_is_short() {
    let made = Made::new(3 * 4096 + 1024)
        .entry(0, 1)
        .entry(1, 2)
        .entry(3, 0);
    let mut image = made.open().unwrap();
    let expected = [
        (0, Stretch::Data(place(1))),
        (8192, Stretch::Hole),
        (12_288, Stretch::Data(place(0))),
    ];
    assert_eq!(stretches(&mut image).unwrap(), expected);
    assert_eq!(image.reach(5000), 0..13_312);
    assert!(!image.lacks());
}

#[test]
fn blocks_that_were_discarded_are_not_there() {
    let made = Made::new(8192).entry(0, u32::MAX - 1).entry(1, u32::MAX);
    let found = stretches(&mut made.open().unwrap()).unwrap();
    assert_eq!(found, [(0, Stretch::Hole)]);
}

#[test]
fn a_fixed_image_may_have_its_files_holes() {
    let made = Made::new(8192).with(0x4c, &[2]).entry(0, 0).entry(1, 1);
    let found = stretches(&mut made.open().unwrap()).unwrap();
    assert_eq!(found, [(0, Stretch::Flat(place(0)))]);
}

#[test]
fn a_size_is_rounded_up_to_whole_sectors() {
    assert_eq!(Made::new(4097).open().unwrap().size(), 4608);
}

#[test]
fn bytes_past_the_end_of_the_file_are_zeroes() {
    let mut made = Made::new(16_384)
        .entry(0, 2)
        .entry(1, 3)
        .entry(2, u32::MAX - 2);
    made.0.truncate(DATA + 2 * BLOCK + 100);
    let mut image = made.open().unwrap();
    let expected = [
        (0, Stretch::Data(place(2))),
        (100, Stretch::Lacking),
        (8192, Stretch::Lacking),
        (12_288, Stretch::Hole),
    ];
    assert_eq!(stretches(&mut image).unwrap(), expected);
    assert!(!image.lacks(), "the table is there");
    made.0.truncate(TABLE + 4);
    let mut image = made.open().unwrap();
    let _ = image.stretch(4096, 1).unwrap();
    assert!(image.lacks());
}

#[test]
fn invalid_fields_are_refused() {
    let cases: [(usize, &[u8], &str); 15] = [
        (0x40, &[0], "not a VDI image"),
        (0x44, &[0], "version 1.0"),
        (0x4c, &[3], "type 3"),
        (0x4c, &[4], "has a parent image"),
        (0x1a8, &[1], "has a parent image"),
        (0x1c7, &[1], "has a parent image"),
        (0x168, &[0, 0x10], "sector size 4096"),
        (0x178, &[1], "block size 4097"),
        (0x178, &[0, 2], "block size 512"),
        (0x178, &[0, 0, 0, 0x20], "block size 536870912"),
        (0x17c, &[1], "before the data"),
        (0x170, &[0; 8], "invalid disk size 0"),
        (0x170, &[0xff; 8], "invalid disk size 18446744073709551615"),
        (0x154, &[1], "aren't on whole sectors"),
        (0x158, &[1], "aren't on whole sectors"),
    ];
    for (at, bytes, words) in cases {
        let Err(Error::Malformed(text) | Error::Unsupported(text)) =
            Made::new(4096).with(at, bytes).open()
        else {
            panic!("{words}");
        };
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(Made::new(4 * 4096 + 1).open().is_err(), "a table too short");
    assert!(Made::new(4096).with(0x154, &[0, 0x34, 0]).open().is_err());
    for length in [0, 0x43, 0x178, 512] {
        let cut = Bytes(Made::new(4096).0[..length].to_vec());
        assert!(Image::open(cut, 1 << 16).is_err(), "{length}");
    }
}
