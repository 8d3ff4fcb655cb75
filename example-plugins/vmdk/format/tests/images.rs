//! Images made byte by byte: the meaning of each field, and its invalid values.

use vmdk_format::{Bytes, Disk, Error, Image, Result, Stretch};

const SECTOR: usize = 512;

/// Grains of 2 sectors, tables of 4 entries: header, directory at sector 1, a table at sector 2, another at
/// sector 3, data from sector 4 to 20.
#[derive(Clone)]
struct Made(Vec<u8>);

impl Made {
    fn new(sectors: u64, flags: u32) -> Self {
        let mut made = Self(vec![0; 20 * SECTOR]);
        made.put(0, b"KDMV");
        made.put(4, &1_u32.to_le_bytes());
        made.put(8, &flags.to_le_bytes());
        made.put(12, &sectors.to_le_bytes());
        made.put(20, &2_u64.to_le_bytes());
        made.put(44, &4_u32.to_le_bytes());
        made.put(56, &1_u64.to_le_bytes());
        made.put(77, &[u8::from(flags & 1 << 16 != 0)]);
        made.put(SECTOR, &2_u32.to_le_bytes());
        made
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn with(mut self, at: usize, bytes: &[u8]) -> Self {
        self.put(at, bytes);
        self
    }

    /// Entry `index` of the first table: a sector.
    fn entry(self, index: usize, sector: u32) -> Self {
        self.with(2 * SECTOR + 4 * index, &sector.to_le_bytes())
    }

    fn disk(&self) -> Result<Disk<Bytes<Vec<u8>>>> {
        match Image::open(Bytes(self.0.clone()), 1 << 16)? {
            Image::Whole(disk) => Ok(disk),
            Image::Parts(parts) => panic!("{parts:?}"),
        }
    }
}

fn stretches(disk: &mut Disk<Bytes<Vec<u8>>>) -> Result<Vec<(u64, Stretch)>> {
    let (mut at, mut found) = (0, Vec::new());
    while at < disk.size() {
        let (stretch, length) = disk.stretch(at, disk.size() - at)?;
        found.push((at, stretch));
        at += length;
    }
    Ok(found)
}

fn data(file: usize, sector: u64) -> Stretch {
    let offset = sector * 512;
    Stretch::Data { file, offset }
}

#[test]
fn neighbours_are_one_stretch_and_the_last_grain_is_short() {
    let made = Made::new(9, 0).entry(0, 4).entry(1, 6).entry(2, 10);
    let made = made
        .with(SECTOR + 4, &3_u32.to_le_bytes())
        .with(3 * SECTOR, &12_u32.to_le_bytes());
    let found = stretches(&mut made.disk().unwrap()).unwrap();
    let expected = [
        (0, data(0, 4)),
        (2048, data(0, 10)),
        (3072, Stretch::Hole),
        (4096, data(0, 12)),
    ];
    assert_eq!(found, expected);
}

#[test]
fn an_entry_of_one_is_zeroes_where_the_header_says_so() {
    let made = |flags| Made::new(4, flags).entry(0, 1).entry(1, 4);
    let zeroed = stretches(&mut made(1 << 2).disk().unwrap()).unwrap();
    assert_eq!(zeroed, [(0, Stretch::Hole), (1024, data(0, 4))]);
    let plain = stretches(&mut made(0).disk().unwrap()).unwrap();
    assert_eq!(plain[0], (0, data(0, 1)));
}

/// 1024 bytes of 9, stored, as zlib writes them.
fn stream() -> Vec<u8> {
    let mut stream = vec![0x78, 1, 1, 0, 4, 0xff, 0xfb];
    stream.extend([9; 1024]);
    let (mut a, mut b) = (1_u32, 0_u32);
    for _ in 0..1024 {
        a = (a + 9) % 65_521;
        b = (b + a) % 65_521;
    }
    stream.extend((b << 16 | a).to_be_bytes());
    stream
}

#[test]
fn compressed_grains_are_decoded_with_and_without_markers() {
    for markers in [true, false] {
        let flags = 1 << 16 | if markers { 1 << 17 } else { 0 };
        let mut bytes = Vec::new();
        if markers {
            bytes.extend([0; 8]);
            bytes.extend((stream().len() as u32).to_le_bytes());
        }
        bytes.extend(stream());
        let made = Made::new(4, flags).entry(1, 5).with(5 * SECTOR, &bytes);
        let mut disk = made.disk().unwrap();
        assert_eq!(disk.stretch(0, 2048).unwrap(), (Stretch::Hole, 1024));
        let (stretch, length) = disk.stretch(1024 + 24, 1000).unwrap();
        let Stretch::Compressed { part, offset, skip } = stretch else {
            panic!("{stretch:?}");
        };
        assert_eq!((length, offset, skip), (1000, 2560, 24));
        assert_eq!(disk.decode(part, offset, skip).unwrap(), [9; 1000]);
        let place = 5 * SECTOR + if markers { 12 } else { 0 };
        let mut broken = made.with(place, &[0x79]).disk().unwrap();
        assert!(broken.decode(part, offset, skip).is_err());
    }
}

#[test]
fn a_footer_counts_if_the_header_says_so() {
    let made = Made::new(4, 0).entry(0, 4);
    let header = made.0[..SECTOR].to_vec();
    let mut marker = vec![0; SECTOR];
    marker[0] = 1;
    marker[12] = 3;
    let mut streamed = made.with(56, &[0xff; 8]);
    assert!(streamed.disk().is_err());
    streamed
        .0
        .extend([marker, header, vec![0; SECTOR]].concat());
    let found = stretches(&mut streamed.disk().unwrap()).unwrap();
    assert_eq!(found[0], (0, data(0, 4)));
    let length = streamed.0.len();
    streamed.put(length - SECTOR + 12, &[1]);
    assert!(streamed.disk().is_err(), "no end after the footer");
}

#[test]
fn extents_follow_each_other() {
    let text = "# Disk DescriptorFile\nRW 4 SPARSE \"s\"\nRW 2 ZERO\nRW 3 FLAT \"f\" 1\n";
    let Image::Parts(parts) = Image::open(Bytes(text.as_bytes().to_vec()), 1 << 16).unwrap() else {
        panic!("a descriptor");
    };
    let sparse = || Bytes(Made::new(4, 0).entry(1, 4).0);
    let flat = |sectors| Bytes(vec![0; sectors * SECTOR]);
    let mut disk = Disk::of(&parts, vec![sparse(), flat(4)], 1 << 16).unwrap();
    assert_eq!(disk.size(), 9 * 512);
    let expected = [
        (0, Stretch::Hole),
        (1024, data(1, 4)),
        (2048, Stretch::Hole),
        (
            3072,
            Stretch::Flat {
                file: 2,
                offset: 512,
            },
        ),
    ];
    assert_eq!(stretches(&mut disk).unwrap(), expected);
    assert_eq!(
        (disk.reach(3000), disk.reach(3072)),
        (2048..3072, 3072..4608)
    );

    for files in [vec![], vec![sparse()], vec![flat(4), sparse()]] {
        assert!(Disk::of(&parts, files, 1 << 16).is_err());
    }

    // The last of three sectors is short.
    let short = Bytes(vec![0; 3 * SECTOR + 100]);
    let mut disk = Disk::of(&parts, vec![sparse(), short], 1 << 16).unwrap();
    assert_eq!(disk.stretch(3072, 1536).unwrap().1, 1124);
    let (stretch, length) = disk.stretch(4196, 412).unwrap();
    assert_eq!((stretch, length), (Stretch::Lacking, 412));
}

#[test]
fn a_capacity_in_whole_grains_is_cut_to_the_extents_length() {
    let of = |sectors, capacity| {
        let text = format!("version=1\nRW {sectors} SPARSE \"s\"\nRW 2 ZERO\n");
        let Image::Parts(parts) = Image::open(Bytes(text.into_bytes()), 1 << 16).unwrap() else {
            panic!("a descriptor");
        };
        let sparse = Bytes(Made::new(capacity, 0).0);
        Disk::of(&parts, vec![sparse], 1 << 16)
    };
    assert_eq!(of(3, 4).unwrap().size(), 5 * 512);
    assert!(of(3, 5).is_err());
    assert!(of(4, 3).is_err());
}

#[test]
fn a_parent_is_refused() {
    let text = b"# Disk DescriptorFile\nparentCID=12345678\n";
    let made = Made::new(4, 0)
        .with(28, &[18])
        .with(36, &[1])
        .with(18 * SECTOR, text);
    assert!(matches!(made.disk(), Err(Error::Unsupported(_))));
    let alone = made.with(18 * SECTOR, b"# Disk DescriptorFile\nparentCID=ffffffff\n");
    assert!(alone.disk().is_ok());
}

#[test]
fn bytes_past_the_end_of_the_file_are_reported_at_their_use() {
    // Data that is half in the file, and data and a table that aren't in it at all.
    for (at, sector, found) in [
        (
            2 * SECTOR + 4,
            19,
            vec![(1024, data(0, 19)), (1536, Stretch::Lacking)],
        ),
        (2 * SECTOR + 4, 20, vec![(1024, Stretch::Lacking)]),
        (2 * SECTOR + 4, u32::MAX, vec![(1024, Stretch::Lacking)]),
        (SECTOR + 4, 20, vec![(4096, Stretch::Hole)]),
    ] {
        let made = Made::new(16, 0).entry(0, 4).with(at, &sector.to_le_bytes());
        let mut disk = made.disk().unwrap();
        assert_eq!(disk.stretch(0, 1024).unwrap().0, data(0, 4));
        let mut place = found[0].0;
        for (at, stretch) in found {
            assert_eq!(place, at);
            let (got, length) = disk.stretch(at, 1024 - at % 1024).unwrap();
            assert_eq!(got, stretch, "{at} {sector}");
            place += length;
        }
        assert_eq!(disk.lacks(), at < 2 * SECTOR, "{at} {sector}");
    }
}

#[test]
fn a_stream_past_the_end_is_an_error() {
    let made = Made::new(16, 1 << 16).entry(0, 20);
    assert!(made.disk().unwrap().stretch(0, 1).is_err());
}

#[test]
fn headers_that_cannot_be_are_refused() {
    let cases: [(usize, &[u8]); 8] = [
        (0, b"X"),
        (4, &[4]),
        (12, &[0xff; 8]),
        (20, &[3]),
        (20, &[0, 0, 0, 1]),
        (44, &[0]),
        (44, &[1, 2]),
        (56, &[0, 1]),
    ];
    for (at, bytes) in cases {
        assert!(Made::new(4, 0).with(at, bytes).disk().is_err(), "{at}");
    }
    assert!(
        Made::new(4, 1 << 16).with(77, &[2]).disk().is_err(),
        "compression"
    );
    for length in [0, 100, 511, 512] {
        let cut = Bytes(Made::new(4, 0).0[..length].to_vec());
        assert!(Image::open(cut, 1 << 16).is_err(), "{length}");
    }
    let late = Made::new(4, 0).with(64, &21_u64.to_le_bytes());
    assert!(matches!(late.disk(), Err(Error::Malformed(text)) if text.contains("cut short")));
}
