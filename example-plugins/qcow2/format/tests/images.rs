//! Images made byte by byte: the meaning of each field, and its invalid values.

use qcow2_format::cluster::Entry;
use qcow2_format::{Bytes, Chain, Error, Header, Image, Layer, Result, Stretch};

const CLUSTER: usize = 512;
const DATA: u64 = 1 << 63;
const COMPRESSED: u64 = 1 << 62;

/// Clusters of 512 bytes: header, L1 in cluster 1, L2 in cluster 2, 8 clusters of data from 4 on.
#[derive(Clone)]
struct Made(Vec<u8>);

impl Made {
    fn new(size: u64) -> Self {
        let mut made = Self(vec![0; 12 * CLUSTER]);
        made.put(0, &0x5146_49fb_u32.to_be_bytes());
        made.put(4, &3_u32.to_be_bytes());
        made.put(20, &9_u32.to_be_bytes());
        made.put(24, &size.to_be_bytes());
        made.put(36, &1_u32.to_be_bytes());
        made.put(40, &(CLUSTER as u64).to_be_bytes());
        made.put(100, &104_u32.to_be_bytes());
        made.put(CLUSTER, &(DATA | 2 * CLUSTER as u64).to_be_bytes());
        made
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn with(mut self, at: usize, bytes: &[u8]) -> Self {
        self.put(at, bytes);
        self
    }

    /// Entry `index` of the L2 table.
    fn entry(self, index: usize, value: u64) -> Self {
        self.with(2 * CLUSTER + index * 8, &value.to_be_bytes())
    }

    fn open(&self) -> Result<Image<Bytes<Vec<u8>>>> {
        Image::open(Bytes(self.0.clone()), None, 1 << 16)
    }

    fn chain(&self, below: Vec<Layer<Bytes<Vec<u8>>>>) -> Chain<Bytes<Vec<u8>>> {
        Chain::new(self.open().unwrap(), below)
    }
}

fn cluster(number: u64) -> u64 {
    DATA | number * CLUSTER as u64
}

/// All stretches of a disk.
fn walk(chain: &mut Chain<Bytes<Vec<u8>>>) -> Result<Vec<(u64, Stretch)>> {
    let (mut at, mut found) = (0, Vec::new());
    while at < chain.size() {
        let (stretch, length) = chain.stretch(at, chain.size() - at)?;
        found.push((at, stretch));
        at += length;
    }
    Ok(found)
}

fn data(layer: usize, number: u64) -> Stretch {
    let offset = number * CLUSTER as u64;
    Stretch::Data { layer, offset }
}

#[test]
fn neighbours_are_one_stretch() {
    let made = Made::new(8 * 512).entry(0, cluster(4)).entry(1, cluster(5));
    let made = made.entry(2, cluster(8)).entry(3, 1).entry(5, 1);
    let found = walk(&mut made.chain(Vec::new())).unwrap();
    let expected = [
        (0, data(0, 4)),
        (1024, data(0, 8)),
        (1536, Stretch::Zero),
        // Not allocated, and nothing below: another stretch of zeroes.
        (2048, Stretch::Zero),
        (2560, Stretch::Zero),
        (3072, Stretch::Zero),
    ];
    assert_eq!(found, expected);
}

#[test]
fn unallocated_clusters_are_those_of_the_layer_below() {
    let top = Made::new(8 * 512).entry(1, cluster(4));
    let base = Made::new(3 * 512).entry(0, cluster(6)).entry(1, cluster(7));
    let below = vec![
        Layer::Image(Box::new(base.open().unwrap())),
        Layer::Raw(1300),
    ];
    let found = walk(&mut top.chain(below)).unwrap();
    let expected = [
        (0, data(1, 6)),
        (512, data(0, 4)),
        (
            1024,
            Stretch::Raw {
                layer: 2,
                offset: 1024,
            },
        ),
        (1300, Stretch::Zero),
        (1536, Stretch::Zero),
    ];
    assert_eq!(found, expected);
}

#[test]
fn an_external_file_has_the_disks_offsets() {
    let made = Made::new(1024)
        .with(79, &[1 << 2])
        .entry(0, DATA)
        .entry(1, DATA | 512);
    let open = || made.open().unwrap().with_data_file(1024);
    let found = walk(&mut Chain::new(open(), Vec::new())).unwrap();
    assert_eq!(found, [(0, data(0, 0))]);
    let short = made.open().unwrap().with_data_file(1000);
    let found = walk(&mut Chain::new(short, Vec::new())).unwrap();
    assert_eq!(found, [(0, data(0, 0)), (1000, Stretch::Lacking)]);
    let moved = made
        .clone()
        .entry(1, DATA | 1024)
        .open()
        .unwrap()
        .with_data_file(1 << 20);
    assert!(walk(&mut Chain::new(moved, Vec::new())).is_err());
}

#[test]
fn subclusters_have_states_of_their_own() {
    // Clusters of 16 KiB, 32 subclusters of 512 bytes, entries of 16 bytes.
    let mut made = Made(vec![0; 5 << 14]);
    made.0[..CLUSTER].copy_from_slice(&Made::new(1 << 14).0[..CLUSTER]);
    made.put(79, &[1 << 4]);
    made.put(20, &14_u32.to_be_bytes());
    made.put(40, &(1_u64 << 14).to_be_bytes());
    made.put(1 << 14, &(DATA | 2 << 14).to_be_bytes());
    made.put(2 << 14, &(DATA | 3 << 14).to_be_bytes());
    // The first two are data, the third is zero, and no other is allocated.
    made.put((2 << 14) + 8, &(0b11_u64 | 1 << 34).to_be_bytes());
    let found = walk(&mut made.chain(vec![Layer::Raw(4096)])).unwrap();
    let raw = Stretch::Raw {
        layer: 1,
        offset: 1536,
    };
    let data = Stretch::Data {
        layer: 0,
        offset: 3 << 14,
    };
    assert_eq!(
        found,
        [
            (0, data),
            (1024, Stretch::Zero),
            (1536, raw),
            (4096, Stretch::Zero)
        ]
    );
    made.put((2 << 14) + 8, &(1_u64 | 1 << 32).to_be_bytes());
    assert!(
        walk(&mut made.chain(Vec::new())).is_err(),
        "both allocated and zero"
    );
}

#[test]
fn a_compressed_cluster_is_decoded_from_where_it_is() {
    // Stored blocks of raw deflate: 512 bytes of 9.
    let mut stream = vec![1, 0, 2, 0xff, 0xfd];
    stream.extend([9; 512]);
    let made = Made::new(1024).with(4 * CLUSTER + 3, &stream);
    // Offset 2051, in two sectors.
    let made = made.entry(1, COMPRESSED | 1 << 61 | (4 * 512 + 3));
    let mut chain = made.chain(Vec::new());
    let (stretch, length) = chain.stretch(512 + 100, 412).unwrap();
    let Stretch::Compressed { layer, at } = stretch else {
        panic!("{stretch:?}");
    };
    assert_eq!((length, at.skip), (412, 100));
    assert_eq!(chain.decode(layer, at).unwrap(), [9; 412]);
    let broken = made.with(4 * CLUSTER + 3, &[7]);
    assert!(broken.chain(Vec::new()).decode(0, at).is_err());
}

#[test]
fn a_snapshot_is_found_by_name_before_its_id() {
    let mut made = Made::new(1024).entry(0, cluster(4));
    made.put(60, &2_u32.to_be_bytes());
    made.put(64, &(6 * CLUSTER as u64).to_be_bytes());
    let mut at = 6 * CLUSTER;
    for (id, name, size) in [("2", "one", 512_u64), ("1", "2", 1024)] {
        made.put(at, &(CLUSTER as u64).to_be_bytes());
        made.put(at + 8, &1_u32.to_be_bytes());
        made.put(at + 12, &(id.len() as u16).to_be_bytes());
        made.put(at + 14, &(name.len() as u16).to_be_bytes());
        made.put(at + 36, &16_u32.to_be_bytes());
        made.put(at + 48, &size.to_be_bytes());
        made.put(at + 56, format!("{id}{name}").as_bytes());
        at += (56 + id.len() + name.len()).next_multiple_of(8);
    }
    let size =
        |wanted| Image::open(Bytes(made.0.clone()), Some(wanted), 1 << 16).map(|one| one.size());
    assert_eq!(size("one").unwrap(), 512);
    assert_eq!(size("2").unwrap(), 1024, "a name");
    assert_eq!(size("1").unwrap(), 1024, "an ID");
    assert!(matches!(size("three"), Err(Error::Unsupported(_))));
}

#[test]
fn names_and_formats_are_texts() {
    let mut made = Made::new(512);
    made.put(8, &256_u64.to_be_bytes());
    made.put(16, &11_u32.to_be_bytes());
    made.put(256, b"json:{\"a\"}\0");
    made.put(104, &0xe279_2aca_u32.to_be_bytes());
    made.put(108, &3_u32.to_be_bytes());
    made.put(112, b"raw");
    let image = made.open().unwrap();
    let Header {
        backing,
        backing_format,
        ..
    } = image.header();
    assert_eq!(backing.as_deref(), Some("json:{\"a\"}"));
    assert_eq!(backing_format.as_deref(), Some("raw"));
}

#[test]
fn bytes_past_the_end_of_the_file_are_reported_at_their_use() {
    for (entry, expected) in [
        (cluster(12), Some(Stretch::Lacking)),
        (cluster(1 << 40), Some(Stretch::Lacking)),
        (DATA | 100, Some(Stretch::Zero)),
        (COMPRESSED | 1 << 50, None),
    ] {
        let made = Made::new(1024).entry(1, entry);
        let mut chain = made.chain(Vec::new());
        assert!(chain.stretch(0, 512).is_ok());
        let found = chain.stretch(512, 512).map(|(stretch, _)| stretch);
        assert_eq!(found.ok(), expected, "{entry:x}");
        assert!(!chain.lacks(), "no table");
    }
    // An L2 table past the end of the file has no entries.
    let made = Made::new(1024).with(CLUSTER, &(DATA | 1 << 40).to_be_bytes());
    let mut chain = made.chain(Vec::new());
    assert_eq!(chain.stretch(0, 1).unwrap().0, Stretch::Zero);
    assert!(chain.lacks());
}

#[test]
fn one_bad_subcluster_spoils_its_cluster() {
    // As in QEMU, the whole entry is wrong, whichever part of it a client reads.
    for bitmap in [1 << 63 | 1 << 31, 1_u64] {
        let entry = Entry {
            descriptor: if bitmap == 1 { 0 } else { DATA | 1 << 16 },
            bitmap,
        };
        let mut header = Made::new(1024).open().unwrap().header().clone();
        header.extended_l2 = true;
        header.cluster_bits = 16;
        assert!(entry.place(&header, 5 * 2048).is_err(), "{bitmap:x}");
    }
}

#[test]
fn headers_that_cannot_be_are_refused() {
    let cases: [(usize, &[u8]); 9] = [
        (0, &[0]),
        (4, &4_u32.to_be_bytes()),
        (20, &8_u32.to_be_bytes()),
        (24, &u64::MAX.to_be_bytes()),
        (24, &(1_u64 << 40).to_be_bytes()),
        (32, &1_u32.to_be_bytes()),
        (36, &u32::MAX.to_be_bytes()),
        (40, &u64::MAX.to_be_bytes()),
        (72, &[0x80]),
    ];
    for (at, bytes) in cases {
        assert!(Made::new(1024).with(at, bytes).open().is_err(), "{at}");
    }
    for length in [0, 71, 103, 512] {
        let cut = Bytes(Made::new(1024).0[..length].to_vec());
        assert!(Image::open(cut, None, 1 << 16).is_err(), "{length}");
    }
}
