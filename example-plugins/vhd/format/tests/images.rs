//! Images made byte by byte: the meaning of each field, and its invalid values.

use vhd_format::fields::checksum;
use vhd_format::{Bytes, Error, Image, Result, Stretch, Tables as _};

const SECTOR: usize = 512;

/// A dynamic disk: the footer's copy, a header at sector 1, a table of four entries at sector 3, blocks of two
/// sectors behind a bitmap of one from sector 4 on, and the footer in sector 19.
#[derive(Clone)]
struct Made(Vec<u8>);

const LAST: usize = 19 * SECTOR;

impl Made {
    fn new(sectors: u64) -> Self {
        let mut made = Self(vec![0; 20 * SECTOR]);
        made.put(3 * SECTOR, &[0xff; 16]);
        made.put(SECTOR, b"cxsparse");
        made.put(SECTOR + 16, &(3 * SECTOR as u64).to_be_bytes());
        made.put(SECTOR + 28, &4_u32.to_be_bytes());
        made.put(SECTOR + 32, &1024_u32.to_be_bytes());
        let footer = made.footer(3, b"win ", sectors * 512);
        made.header(0, &[]).both(&footer)
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn footer(&self, kind: u32, creator: &[u8; 4], size: u64) -> Vec<u8> {
        let mut footer = vec![0; SECTOR];
        footer[..8].copy_from_slice(b"conectix");
        footer[16..24].copy_from_slice(&(SECTOR as u64).to_be_bytes());
        footer[28..32].copy_from_slice(creator);
        footer[48..56].copy_from_slice(&size.to_be_bytes());
        footer[56..60].copy_from_slice(&[0, 1, 2, 3]);
        footer[60..64].copy_from_slice(&kind.to_be_bytes());
        sealed(footer, 64)
    }

    /// The image with this footer, and its copy.
    fn both(mut self, footer: &[u8]) -> Self {
        self.put(0, footer);
        self.put(LAST, footer);
        self
    }

    /// The image with a change in the header.
    fn header(mut self, at: usize, bytes: &[u8]) -> Self {
        self.put(SECTOR + at, bytes);
        let header = sealed(self.0[SECTOR..3 * SECTOR].to_vec(), 36);
        self.put(SECTOR, &header);
        self
    }

    /// Entry `index` of the table: a sector.
    fn entry(mut self, index: usize, sector: u32) -> Self {
        self.put(3 * SECTOR + 4 * index, &sector.to_be_bytes());
        self
    }

    fn open(&self) -> Result<Image<Bytes<Vec<u8>>>> {
        Image::open(Bytes(self.0.clone()), 1 << 16)
    }
}

fn sealed(mut bytes: Vec<u8>, at: usize) -> Vec<u8> {
    let sum = checksum(&bytes, at);
    bytes[at..at + 4].copy_from_slice(&sum.to_be_bytes());
    bytes
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

#[test]
fn blocks_have_a_bitmap_before_their_data() {
    let made = Made::new(7).entry(0, 4).entry(1, 7).entry(3, 10);
    let found = stretches(&mut made.open().unwrap()).unwrap();
    let expected = [
        (0, Stretch::Data(5 * 512)),
        (1024, Stretch::Data(8 * 512)),
        (2048, Stretch::Hole),
        (3072, Stretch::Data(11 * 512)),
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_bitmap_is_as_long_as_its_block_wants() {
    // 2 MiB: 4096 sectors, 512 bytes. 4 MiB: 1024 bytes.
    for (block, bitmap) in [(2_u32 << 20, 512), (4 << 20, 1024)] {
        let made = Made::new(8).header(32, &block.to_be_bytes()).entry(0, 4);
        let (stretch, _) = made.open().unwrap().stretch(0, 1).unwrap();
        assert_eq!(stretch, Stretch::Data(4 * 512 + bitmap), "{block}");
    }
}

#[test]
fn a_fixed_disk_is_the_file_as_it_is() {
    let made = Made::new(1);
    let footer = made.footer(2, b"win ", 19 * 512);
    let mut fixed = made.clone();
    fixed.put(LAST, &footer);
    // Even if its first sector looks like the footer of another.
    let mut image = fixed.open().unwrap();
    assert_eq!(stretches(&mut image).unwrap(), [(0, Stretch::Flat(0))]);
    assert_eq!(image.reach(5000), 0..19 * 512);
    let large = made.footer(2, b"win ", 21 * 512);
    fixed.put(LAST, &large);
    let found = stretches(&mut fixed.open().unwrap()).unwrap();
    assert_eq!(found, [(0, Stretch::Flat(0)), (20 * 512, Stretch::Lacking)]);
}

#[test]
fn the_footer_may_be_short_or_only_its_copy_be_right() {
    let mut made = Made::new(8).entry(0, 4);
    made.0.truncate(LAST + 511);
    assert_eq!(made.open().unwrap().size(), 4096);
    let footer = made.footer(3, b"win ", 4096);
    made.0.resize(LAST + 512, 0);
    made = made.both(&footer);
    for (end, start, good) in [
        (0_usize, 1_usize, true),
        (1, 0, true),
        (1, 1, false),
        (60, 60, false),
    ] {
        let mut damaged = made.clone();
        damaged.0[LAST + 50] ^= u8::from(end > 0);
        damaged.0[50] ^= u8::from(start > 0);
        let opened = damaged.open();
        assert_eq!(opened.is_ok(), good, "{end} {start}");
    }
    for (at, words) in [(0, "not a VHD image"), (1, "wrong checksum")] {
        let footer = if at == 0 {
            vec![0; 512]
        } else {
            vec![b'x'; 512]
        };
        let mut bad = made.clone().both(&footer);
        if at == 1 {
            bad.put(0, b"conectix");
        }
        let Err(Error::Malformed(text)) = bad.open() else {
            panic!("{words}");
        };
        assert!(text.contains(words), "{text}");
    }
}

#[test]
fn the_size_is_the_creators() {
    for (creator, geometry, sectors) in [
        (b"vpc ", [0, 1, 2, 3], 6),
        (b"qemu", [0, 1, 2, 3], 6),
        (b"qemu", [0xff, 0xff, 16, 255], 8),
        (b"qem2", [0, 1, 2, 3], 8),
        (b"tap\0", [0, 1, 2, 3], 8),
        (b"????", [0, 1, 2, 3], 8),
    ] {
        let made = Made::new(8);
        // A size that isn't whole sectors.
        let mut footer = made.footer(3, creator, 8 * 512 + 100);
        footer[56..60].copy_from_slice(&geometry);
        let image = made.both(&sealed(footer, 64)).open().unwrap();
        assert_eq!(image.size(), sectors * 512, "{creator:?} {geometry:?}");
    }
}

#[test]
fn invalid_fields_are_refused() {
    let kinds = [(4, "has a parent image"), (9, "type 9")];
    for (kind, words) in kinds {
        let made = Made::new(8);
        let footer = made.footer(kind, b"win ", 4096);
        let Err(Error::Unsupported(text)) = made.both(&footer).open() else {
            panic!("{words}");
        };
        assert!(text.contains(words), "{text}");
    }
    for size in [0, 511, 0xff00_0001 << 9, u64::MAX] {
        let made = Made::new(8);
        let footer = made.footer(3, b"win ", size);
        assert!(made.both(&footer).open().is_err(), "{size}");
    }
    let headers: [(usize, &[u8]); 7] = [
        (0, b"X"),
        (16, &[0xff; 8]),
        (16, &[0, 0, 0, 0, 0, 0, 0, 1]),
        (16, &[0, 0, 0, 0, 0, 0, 0x28, 0]),
        (28, &[0, 0, 0, 3]),
        (32, &[0, 0, 4, 1]),
        (32, &[0, 0, 1, 0]),
    ];
    for (at, bytes) in headers {
        assert!(Made::new(8).header(at, bytes).open().is_err(), "{at}");
    }
    let mut sum = Made::new(8);
    sum.put(SECTOR + 36, &[0]);
    assert!(sum.open().is_err(), "a wrong checksum");
    for at in [20 * 512, u64::MAX] {
        let made = Made::new(8);
        let mut footer = made.footer(3, b"win ", 4096);
        footer[16..24].copy_from_slice(&at.to_be_bytes());
        assert!(made.both(&sealed(footer, 64)).open().is_err(), "{at}");
    }
    for length in [0, 7, 511, 512, 1000] {
        let cut = Bytes(Made::new(8).0[..length].to_vec());
        assert!(Image::open(cut, 1 << 16).is_err(), "{length}");
    }
}

#[test]
fn bytes_of_a_block_past_the_end_of_the_file_are_an_error() {
    // The data begins in sector 19, of which the file has 100 bytes, or behind it.
    let mut made = Made::new(8)
        .entry(0, 18)
        .entry(1, 19)
        .entry(2, u32::MAX - 1);
    made.0.truncate(LAST + 100);
    let mut image = made.open().unwrap();
    assert_eq!(
        image.stretch(0, 1024).unwrap(),
        (Stretch::Data(LAST as u64), 100)
    );
    assert_eq!(image.stretch(100, 900).unwrap(), (Stretch::Hole, 412));
    assert!(image.stretch(512, 1).is_err());
    assert!(image.stretch(1024, 1).is_err());
    assert!(image.stretch(2048, 1).is_err());
    assert_eq!(image.stretch(3072, 1).unwrap().0, Stretch::Hole);
    assert!(!image.lacks());
}
