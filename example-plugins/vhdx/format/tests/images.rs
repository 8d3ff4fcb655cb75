//! Images made byte by byte: the meaning of each field, and its invalid values.

use crc::{CRC_32_ISCSI, Crc};
use vhdx_format::{Bytes, Error, Image, Result, Stretch, Tables as _};

const MIB: usize = 1 << 20;

/// Metadata at 1 MiB, blocks at 2 MiB, data from 3 to 6 MiB: blocks of 1 MiB.
#[derive(Clone)]
struct Made(Vec<u8>);

const BLOCKS: [u8; 16] = [
    0x66, 0x77, 0xc2, 0x2d, 0x23, 0xf6, 0x00, 0x42, 0x9d, 0x64, 0x11, 0x5e, 0x9b, 0xfd, 0x4a, 0x08,
];
const METADATA: [u8; 16] = [
    0x06, 0xa2, 0x7c, 0x8b, 0x90, 0x47, 0x9a, 0x4b, 0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e,
];
const PARAMETERS: [u8; 16] = [
    0x37, 0x67, 0xa1, 0xca, 0x36, 0xfa, 0x43, 0x4d, 0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b,
];
const SIZE: [u8; 16] = [
    0x24, 0x42, 0xa5, 0x2f, 0x1b, 0xcd, 0x76, 0x48, 0xb2, 0x11, 0x5d, 0xbe, 0xd8, 0x3b, 0xf4, 0xb8,
];
const SECTOR: [u8; 16] = [
    0x1d, 0xbf, 0x41, 0x81, 0x6f, 0xa9, 0x09, 0x47, 0xba, 0x47, 0xf2, 0x33, 0xa8, 0xfa, 0xab, 0x5f,
];

impl Made {
    fn new(size: u64) -> Self {
        let mut made = Self(vec![0; 6 * MIB]);
        made.put(0, b"vhdxfile");
        for (sequence, header) in [(1_u64, 64 << 10), (2, 128 << 10)] {
            made.put(header, b"head");
            made.put(header + 8, &sequence.to_le_bytes());
            made.put(header + 66, &[1]);
        }
        for table in [192 << 10, 256 << 10] {
            made.put(table, b"regi");
            made.put(table + 8, &[2]);
            made.region(table + 16, &BLOCKS, 2 * MIB);
            made.region(table + 48, &METADATA, MIB);
        }
        made.put(MIB, b"metadata");
        made.put(MIB + 10, &[3]);
        made.item(0, &PARAMETERS, &(MIB as u64).to_le_bytes());
        made.item(1, &SIZE, &size.to_le_bytes());
        made.item(2, &SECTOR, &512_u32.to_le_bytes());
        made
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn region(&mut self, at: usize, guid: &[u8; 16], offset: usize) {
        self.put(at, guid);
        self.put(at + 16, &(offset as u64).to_le_bytes());
        self.put(at + 24, &(MIB as u32).to_le_bytes());
    }

    fn item(&mut self, number: usize, guid: &[u8; 16], item: &[u8]) {
        let (entry, offset) = (MIB + 32 + 32 * number, (64 << 10) + 16 * number);
        self.put(entry, guid);
        self.put(entry + 16, &(offset as u32).to_le_bytes());
        self.put(entry + 20, &(item.len() as u32).to_le_bytes());
        self.put(MIB + offset, item);
    }

    fn with(mut self, at: usize, bytes: &[u8]) -> Self {
        self.put(at, bytes);
        self
    }

    /// Entry `index` of the block table.
    fn entry(self, index: usize, value: u64) -> Self {
        self.with(2 * MIB + 8 * index, &value.to_le_bytes())
    }

    /// The image with correct checksums.
    fn open(mut self) -> Result<Image<Bytes<Vec<u8>>>> {
        for (start, length) in [(64, 4), (128, 4), (192, 64), (256, 64)] {
            let part = &mut self.0[start << 10..][..length << 10];
            part[4..8].fill(0);
            let sum = Crc::<u32>::new(&CRC_32_ISCSI).checksum(part);
            part[4..8].copy_from_slice(&sum.to_le_bytes());
        }
        Image::open(Bytes(self.0), 1 << 16)
    }
}

/// The entry of a block at `mib` MiB.
fn present(mib: u64) -> u64 {
    mib << 20 | 6
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
fn neighbours_are_one_stretch_and_the_last_block_is_short() {
    let mib = MIB as u64;
    let made = Made::new(6 * mib + 512)
        .entry(0, present(3))
        .entry(1, present(4));
    let made = made
        .entry(2, 2)
        .entry(3, 0)
        .entry(4, present(4))
        .entry(6, present(5));
    let found = stretches(&mut made.open().unwrap()).unwrap();
    let expected = [
        (0, Stretch::Data(3 * mib)),
        (2 * mib, Stretch::Hole),
        (4 * mib, Stretch::Data(4 * mib)),
        (5 * mib, Stretch::Hole),
        (6 * mib, Stretch::Data(5 * mib)),
    ];
    assert_eq!(found, expected);
}

#[test]
fn after_a_chunk_comes_an_entry_for_its_bitmap() {
    // With sectors of 512 bytes and blocks of 1 MiB a chunk is 4096 blocks.
    let made = Made::new(5000 << 20).entry(4096, 7).entry(4097, present(3));
    let mut image = made.open().unwrap();
    let (stretch, _) = image.stretch(4096 << 20, 1).unwrap();
    assert_eq!(stretch, Stretch::Data(3 << 20));
}

#[test]
fn the_newer_header_counts() {
    let log = [1_u8; 16];
    let older = Made::new(1 << 20).with((64 << 10) + 48, &log);
    assert!(older.open().is_ok(), "the older one's log is done with");
    let newer = Made::new(1 << 20).with((128 << 10) + 48, &log);
    assert!(
        newer.clone().open().is_ok(),
        "a log of no length has nothing"
    );
    let newer = newer.with((128 << 10) + 68, &[1]).open();
    assert!(matches!(newer, Err(Error::Unsupported(_))));
}

const GUID: [u8; 16] = [0x77; 16];

/// The offset of the log, and its length.
const LOG: usize = 5 * MIB;

/// An entry of a log: sectors to write, `None` for zeroes.
fn log_entry(sequence: u64, tail: usize, writes: &[(u64, Option<[u8; 4096]>)]) -> Vec<u8> {
    let sectors = writes.iter().filter(|(_, sector)| sector.is_some()).count();
    let length = 4096 * (1 + sectors);
    let mut entry = vec![0; length];
    let mut put = |at: usize, bytes: &[u8]| entry[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"loge");
    put(8, &(length as u32).to_le_bytes());
    put(12, &(tail as u32).to_le_bytes());
    put(16, &sequence.to_le_bytes());
    put(24, &(writes.len() as u32).to_le_bytes());
    put(32, &GUID);
    let mut data = 4096;
    for (number, (offset, sector)) in writes.iter().enumerate() {
        let at = 64 + 32 * number;
        put(at + 16, &offset.to_le_bytes());
        put(at + 24, &sequence.to_le_bytes());
        let Some(sector) = sector else {
            put(at, b"zero");
            put(at + 8, &4096_u64.to_le_bytes());
            continue;
        };
        put(at, b"desc");
        put(at + 4, &sector[4092..]);
        put(at + 8, &sector[..8]);
        put(data, sector);
        put(data, b"data");
        put(data + 4, &((sequence >> 32) as u32).to_le_bytes());
        put(data + 4092, &(sequence as u32).to_le_bytes());
        data += 4096;
    }
    let sum = Crc::<u32>::new(&CRC_32_ISCSI).checksum(&entry);
    entry[4..8].copy_from_slice(&sum.to_le_bytes());
    entry
}

impl Made {
    /// The image with entries at these places of its log, which may wrap.
    fn logged(mut self, entries: &[(usize, Vec<u8>)]) -> Self {
        for header in [64 << 10, 128 << 10] {
            self.put(header + 48, &GUID);
            self.put(header + 68, &(MIB as u32).to_le_bytes());
            self.put(header + 72, &(LOG as u64).to_le_bytes());
        }
        for (at, entry) in entries {
            for (index, byte) in entry.iter().enumerate() {
                self.0[LOG + (at + index) % MIB] = *byte;
            }
        }
        self
    }
}

/// The block table's first sector, with one block.
fn table(index: usize, value: u64) -> Option<[u8; 4096]> {
    let mut sector = [0; 4096];
    sector[index * 8..][..8].copy_from_slice(&value.to_le_bytes());
    Some(sector)
}

const TABLE: u64 = 2 << 20;

#[test]
fn a_log_is_replayed_from_the_entry_that_its_head_names() {
    let first = log_entry(7, 0, &[(TABLE, table(0, present(3)))]);
    let find = |entries: &[(usize, Vec<u8>)]| {
        let mut image = Made::new(2 << 20).logged(entries).open()?;
        stretches(&mut image)
    };
    let data = |mib: u64| Stretch::Data(mib << 20);
    let alone = find(&[(0, first.clone())]).unwrap();
    assert_eq!(alone, [(0, data(3)), (1 << 20, Stretch::Hole)]);
    // Both entries, in order: the second one writes another table.
    let second = |tail| log_entry(8, tail, &[(TABLE, table(1, present(4)))]);
    let both = find(&[(0, first.clone()), (8192, second(0))]).unwrap();
    assert_eq!(both, [(0, Stretch::Hole), (1 << 20, data(4))]);
    // The file has the first entry already.
    let other = log_entry(8, 8192, &[(TABLE + 4096, None)]);
    let last = find(&[(0, first.clone()), (8192, other)]).unwrap();
    assert_eq!(last, [(0, Stretch::Hole)]);
    // Later entries don't belong to the sequence.
    let later = log_entry(10, 0, &[(TABLE, None)]);
    let gap = find(&[(0, first), (8192, later)]).unwrap();
    assert_eq!(gap, alone);
    // The log wraps round its end.
    let wrapped = find(&[(
        MIB - 4096,
        log_entry(7, MIB - 4096, &[(TABLE, table(0, present(3)))]),
    )]);
    assert_eq!(wrapped.unwrap(), alone);
}

#[test]
fn zeroes_of_a_log_are_zeroes() {
    let made = Made::new(1 << 20).entry(0, present(3));
    let made = made.logged(&[(0, log_entry(1, 0, &[(TABLE, None)]))]);
    assert_eq!(
        stretches(&mut made.open().unwrap()).unwrap(),
        [(0, Stretch::Hole)]
    );
}

#[test]
fn a_broken_log_is_refused() {
    let good = log_entry(1, 0, &[(TABLE, table(0, present(3)))]);
    for at in [
        0, 5, 9, 13, 17, 25, 33, 64, 70, 81, 90, 4096, 4100, 5000, 8190,
    ] {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        let opened = Made::new(1 << 20).logged(&[(0, bad)]).open();
        assert!(matches!(opened, Err(Error::Malformed(_))), "{at}");
    }
    let past = log_entry(1, 0, &[(6 << 20, None)]);
    assert!(Made::new(1 << 20).logged(&[(0, past)]).open().is_err());
    let data = log_entry(1, 0, &[(3 << 20, None)]);
    let made = Made::new(1 << 20).entry(0, present(3)).logged(&[(0, data)]);
    assert!(
        made.open().unwrap().stretch(0, 1).is_err(),
        "it changes data"
    );
}

#[test]
fn bad_blocks_fail_only_their_own_reads() {
    for entry in [4, 7, 6, 1 << 20 | 6 << 60, present(6), u64::MAX] {
        let made = Made::new(2 << 20).entry(0, present(3)).entry(1, entry);
        let mut image = made.open().unwrap();
        assert!(
            image
                .stretch(0, 2 << 20)
                .is_ok_and(|(_, length)| length == 1 << 20)
        );
        let found = image.stretch(1 << 20, 1);
        assert!(found.is_err() || entry & 7 == 0, "{entry:x}: {found:?}");
    }
}

#[test]
fn structures_that_cannot_be_are_refused() {
    let parent = [0, 0, 0x10, 0, 2, 0, 0, 0];
    let cases: [(usize, &[u8]); 9] = [
        (0, b"V"),
        (MIB, b"M"),
        (MIB + 10, &[2]),
        (MIB + 32 + 16, &[0, 0, 0, 0xff]),
        (MIB + (64 << 10), &[1]),
        (MIB + (64 << 10), &parent),
        (MIB + (64 << 10) + 16, &[1]),
        (MIB + (64 << 10) + 16, &[0xff; 8]),
        (MIB + (64 << 10) + 32, &[9]),
    ];
    for (at, bytes) in cases {
        assert!(Made::new(1 << 20).with(at, bytes).open().is_err(), "{at:x}");
    }
    assert!(Made::new(0).open().is_err());
    assert!(
        Made::new(200_000 << 20).open().is_err(),
        "a table that is too short"
    );
    assert!(Made::new(1 << 20).open().is_ok());
}
