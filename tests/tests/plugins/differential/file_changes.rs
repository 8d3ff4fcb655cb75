//! `file` against `nbdkit file` and `qemu-nbd`, each with a file of its own, after the same changes.

use nbd_proto::Framing;
use nbdbox_tests::{Client, Peer, Random};

use super::operation::Operation;
use super::sparse_file::{SparseFiles, maps};

const SIZE: u64 = 4 << 20;

#[test]
fn the_same_changes_leave_the_same_bytes_and_maps() {
    let mut random = Random::seeded(1);
    let files = SparseFiles::new(&["ours", "nbdkit", "qemu"], SIZE, &random);
    let mut expected = files.bytes("ours");
    let ours = files.serve("ours", "rw");
    let path = files.path("nbdkit");
    let nbdkit = Peer::nbdkit(["file".as_ref(), path.as_os_str()]);
    let path = files.path("qemu");
    let options = ["--discard=unmap", "-f", "raw", path.to_str().unwrap()];
    let qemu = Peer::qemu_nbd(options);
    let mut clients = [
        Client::connect(&ours.socket(), Framing::Extended),
        Client::connect(&nbdkit.socket(), Framing::Structured),
        Client::connect(&qemu.socket(), Framing::Structured),
    ];
    let before = maps(&ours.uri());
    for _ in 0..150 {
        // Whole blocks only: the servers needn't agree on the allocation of parts.
        let operation = Operation::random(&mut random, SIZE, 100_000, 4096);
        operation.apply(&mut expected);
        for client in &mut clients {
            operation.send(client);
        }
    }
    for client in &mut clients {
        client.flush().unwrap();
    }
    // Maps first: after a read, a file system may report allocated zeroes as data.
    let map = maps(&ours.uri());
    assert_ne!(map, before);
    assert_eq!(map, maps(&nbdkit.uri()), "nbdkit's map");
    assert_eq!(map, maps(&qemu.uri()), "qemu-nbd's map");
    for name in ["ours", "nbdkit", "qemu"] {
        assert!(files.bytes(name) == expected, "{name}");
    }
}

#[test]
fn changes_at_odd_offsets_leave_the_bytes_that_an_array_has() {
    for framing in [Framing::Simple, Framing::Structured, Framing::Extended] {
        let mut random = Random::seeded(2);
        let files = SparseFiles::new(&["ours"], SIZE + 321, &random);
        let mut expected = files.bytes("ours");
        let ours = files.serve("ours", "rw");
        let mut client = Client::connect(&ours.socket(), framing);
        for _ in 0..200 {
            let operation = Operation::random(&mut random, SIZE + 321, 50_000, 1);
            operation.apply(&mut expected);
            operation.send(&mut client);
            let (offset, length) = random.range(SIZE + 321, 5000);
            let got = client.read(offset, u32::try_from(length).unwrap()).unwrap();
            let place = usize::try_from(offset).unwrap();
            assert!(
                got == expected[place..place + got.len()],
                "after {operation:?}"
            );
        }
        assert!(files.bytes("ours") == expected, "{framing:?}");
    }
}
