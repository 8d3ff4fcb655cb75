//! `file` against `nbdkit file` and `qemu-nbd` on one sparse file that no program changes.

use nbd_proto::Framing;
use nbdbox_tests::{Client, Peer, Random};

use super::sparse_file::{SparseFiles, maps};

#[test]
fn maps_are_those_of_nbdkit_and_qemu_nbd() {
    let files = SparseFiles::new(&["disk"], 4 << 20, &Random::seeded(1));
    let path = files.path("disk");
    let ours = files.serve("disk", "map-only");
    let nbdkit = Peer::nbdkit(["-r".as_ref(), "file".as_ref(), path.as_os_str()]);
    let qemu = Peer::qemu_nbd([
        "-r".as_ref(),
        "-f".as_ref(),
        "raw".as_ref(),
        path.as_os_str(),
    ]);
    let map = maps(&ours.uri());
    assert_eq!(map, maps(&nbdkit.uri()));
    assert_eq!(map, maps(&qemu.uri()));
    assert!(
        map[0].lines().count() > 20,
        "a map with little in it:\n{}",
        map[0]
    );
}

#[test]
fn maps_of_an_odd_size_are_those_of_nbdkit() {
    let files = SparseFiles::new(&["disk"], (4 << 20) + 12_345, &Random::seeded(2));
    let path = files.path("disk");
    let ours = files.serve("disk", "ro");
    let nbdkit = Peer::nbdkit(["-r".as_ref(), "file".as_ref(), path.as_os_str()]);
    assert_eq!(maps(&ours.uri()), maps(&nbdkit.uri()));
}

#[test]
fn maps_are_the_same_however_they_are_cut() {
    const SIZE: u64 = (1 << 20) + 77;
    let mut random = Random::seeded(3);
    let files = SparseFiles::new(&["disk"], SIZE, &random);
    let ours = files.serve("disk", "ro");
    let mut client = Client::connect(&ours.socket(), Framing::Extended);
    let whole = client.map(0, SIZE, SIZE);
    assert!(whole.len() > 4, "{whole:?}");
    for step in [1000, 4095, 4096, 65_537] {
        assert_eq!(client.map(0, SIZE, step), whole, "{step} bytes at a time");
    }
    assert_eq!(client.map_one_by_one(0, SIZE), whole);
    for _ in 0..20 {
        let at = random.of(1..SIZE);
        let (front, back) = (client.map(0, at, SIZE), client.map(at, SIZE - at, SIZE));
        let kinds = front.last().unwrap().flags == back[0].flags;
        assert_eq!(
            front.len() + back.len(),
            whole.len() + usize::from(kinds),
            "cut at {at}"
        );
    }
}

#[test]
fn bytes_are_the_files_at_any_offset() {
    const SIZE: u64 = (2 << 20) + 777;
    let mut random = Random::seeded(4);
    let files = SparseFiles::new(&["disk"], SIZE, &random);
    let bytes = files.bytes("disk");
    for access in ["ro", "rw", "map-only"] {
        let ours = files.serve("disk", access);
        let mut client = Client::connect(&ours.socket(), Framing::Extended);
        assert_eq!(client.size(), SIZE);
        for longest in [3, 5000, 300_000] {
            for _ in 0..30 {
                let (offset, length) = random.range(SIZE, longest);
                let got = client.read(offset, u32::try_from(length).unwrap()).unwrap();
                let place = usize::try_from(offset).unwrap();
                assert!(
                    got == bytes[place..place + got.len()],
                    "{length} bytes at {offset}"
                );
            }
        }
    }
}

#[test]
fn what_the_map_calls_zeroes_reads_as_zeroes() {
    let files = SparseFiles::new(&["disk"], 2 << 20, &Random::seeded(5));
    let ours = files.serve("disk", "ro");
    let mut client = Client::connect(&ours.socket(), Framing::Extended);
    let map = client.map(0, 2 << 20, 2 << 20);
    assert!(map.iter().any(nbdbox_tests::Extent::is_zero), "{map:?}");
    for extent in map.into_iter().filter(nbdbox_tests::Extent::is_zero) {
        let length = u32::try_from(extent.length).unwrap();
        let got = client.read(extent.offset, length).unwrap();
        assert!(got.iter().all(|byte| *byte == 0), "{extent:?}");
    }
}
