//! `pattern` against nbdkit's plugin of the same name, byte for byte.

use nbd_proto::{CommandFlags, Framing};
use nbdbox_tests::{Client, Peer, Random, Server};

/// Both servers, each with a disk of this size.
fn both(size: u64) -> (Server, Peer) {
    let size = format!("size={size}");
    (
        Server::plugin("pattern", &[&size]),
        Peer::nbdkit(["pattern", &size]),
    )
}

#[test]
fn whole_disks_of_awkward_sizes_are_equal() {
    for size in [
        1, 7, 8, 9, 511, 512, 513, 4095, 65_535, 65_537, 131_073, 1_000_003,
    ] {
        let (ours, theirs) = both(size);
        let mut ours = Client::connect(&ours.socket(), Framing::Structured);
        let mut theirs = Client::connect(&theirs.socket(), Framing::Structured);
        assert_eq!((ours.size(), theirs.size()), (size, size));
        let length = u32::try_from(size).unwrap();
        assert!(
            ours.read(0, length) == theirs.read(0, length),
            "size {size}"
        );
    }
}

#[test]
fn any_range_is_equal_in_every_framing() {
    const SIZE: u64 = 3_000_003;
    let mut random = Random::seeded(1);
    let (ours, theirs) = both(SIZE);
    let mut theirs = Client::connect(&theirs.socket(), Framing::Structured);
    for framing in [Framing::Simple, Framing::Structured, Framing::Extended] {
        let mut ours = Client::connect(&ours.socket(), framing);
        for longest in [1, 9, 700, 200_000] {
            for _ in 0..40 {
                let (offset, length) = random.range(SIZE, longest);
                let length = u32::try_from(length).unwrap();
                let same = ours.read(offset, length) == theirs.read(offset, length);
                assert!(same, "{length} bytes at {offset}, {framing:?}");
            }
        }
    }
}

#[test]
fn offsets_beyond_32_bits_are_equal() {
    const SIZE: u64 = (1 << 60) + 13;
    let mut random = Random::seeded(2);
    let (ours, theirs) = both(SIZE);
    let mut ours = Client::connect(&ours.socket(), Framing::Extended);
    let mut theirs = Client::connect(&theirs.socket(), Framing::Structured);
    for offset in [(1 << 32) - 3, (1 << 40) + 5, SIZE - 4097, SIZE - 1] {
        let length = u32::try_from((SIZE - offset).min(4097)).unwrap();
        assert_eq!(
            ours.read(offset, length),
            theirs.read(offset, length),
            "at {offset}"
        );
    }
    for _ in 0..40 {
        let (offset, length) = random.range(SIZE, 5000);
        let length = u32::try_from(length).unwrap();
        assert_eq!(
            ours.read(offset, length),
            theirs.read(offset, length),
            "at {offset}"
        );
    }
}

#[test]
fn dont_fragment_changes_nothing_but_the_chunks() {
    let (ours, theirs) = both(1_000_003);
    let mut ours = Client::connect(&ours.socket(), Framing::Structured);
    let mut theirs = Client::connect(&theirs.socket(), Framing::Structured);
    let content = ours.content(3, 1_000_000, CommandFlags::DF).unwrap();
    assert_eq!((content.data_chunks, content.hole_chunks), (1, 0));
    assert!(content.bytes == theirs.read(3, 1_000_000).unwrap());
}
