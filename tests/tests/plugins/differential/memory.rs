//! `memory` against an array and against a local file, under the same random changes.

use std::collections::BTreeSet;

use nbd_proto::wire::StateFlags;
use nbd_proto::{CommandFlags, Framing};
use nbdbox_tests::{Client, Extent, Random, Server};

use super::operation::Operation;
use super::sparse_file::SparseFiles;

/// A size that is a multiple of nothing.
const SIZE: u64 = (2 << 20) + 4321;

/// The bytes that the plugin allocates at once.
const PAGE: u64 = 32 << 10;

fn serve() -> Server {
    Server::plugin("memory", &[&format!("size={SIZE}")])
}

fn whole(client: &mut Client) -> Vec<u8> {
    client.read(0, u32::try_from(SIZE).unwrap()).unwrap()
}

/// The pages that are allocated by the plugin's rules.
#[derive(Default)]
struct Pages(BTreeSet<u64>);

impl Pages {
    fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Write(offset, bytes, _) => self.allocate(*offset, bytes.len() as u64),
            Operation::Zero(offset, length, flags) if flags.contains(CommandFlags::NO_HOLE) => {
                self.allocate(*offset, *length);
            }
            Operation::Zero(offset, length, _) | Operation::Trim(offset, length, _) => {
                let wholly = offset.div_ceil(PAGE)..(offset + length) / PAGE;
                self.0.retain(|page| !wholly.contains(page));
            }
            Operation::Flush => {}
        }
    }

    fn allocate(&mut self, offset: u64, length: u64) {
        self.0
            .extend(offset / PAGE..(offset + length).div_ceil(PAGE));
    }

    /// The map that these pages make.
    fn map(&self) -> Vec<Extent> {
        let mut map = Vec::new();
        for page in 0..SIZE.div_ceil(PAGE) {
            let (offset, end) = (page * PAGE, SIZE.min((page + 1) * PAGE));
            let flags = if self.0.contains(&page) {
                StateFlags::empty()
            } else {
                StateFlags::HOLE | StateFlags::ZERO
            };
            let extent = Extent {
                offset,
                length: end - offset,
                flags,
            };
            extent.add_to(&mut map);
        }
        map
    }
}

#[test]
fn random_changes_leave_the_bytes_of_an_array_and_of_a_local_file() {
    for (seed, framing) in [
        (1, Framing::Simple),
        (2, Framing::Structured),
        (3, Framing::Extended),
    ] {
        let mut random = Random::seeded(seed);
        let (memory, files) = (serve(), SparseFiles::new(&["disk"], SIZE, &random));
        let file = files.serve("disk", "rw");
        let mut memory = Client::connect(&memory.socket(), framing);
        let mut file = Client::connect(&file.socket(), framing);
        // The memory starts as a copy of the file.
        let mut expected = files.bytes("disk");
        memory.write(0, &expected, CommandFlags::empty()).unwrap();
        for _ in 0..150 {
            let operation = Operation::random(&mut random, SIZE, 100_000, 1);
            operation.apply(&mut expected);
            operation.send(&mut memory);
            operation.send(&mut file);
            let (offset, length) = random.range(SIZE, 5000);
            let length = u32::try_from(length).unwrap();
            let (one, other) = (memory.read(offset, length), file.read(offset, length));
            assert!(
                one == other,
                "{length} bytes at {offset} after {operation:?}"
            );
        }
        assert!(whole(&mut memory) == expected, "{framing:?}");
        assert!(files.bytes("disk") == expected, "{framing:?}");
    }
}

#[test]
fn the_map_follows_every_change() {
    let mut random = Random::seeded(4);
    let server = serve();
    let mut client = Client::connect(&server.socket(), Framing::Extended);
    let mut pages = Pages::default();
    for _ in 0..300 {
        let operation = Operation::random(&mut random, SIZE, 300_000, 1);
        operation.send(&mut client);
        pages.apply(&operation);
        assert_eq!(
            client.map(0, SIZE, SIZE),
            pages.map(),
            "after {operation:?}"
        );
    }
}

#[test]
fn what_the_map_calls_zeroes_reads_as_zeroes() {
    let mut random = Random::seeded(5);
    let server = serve();
    let mut client = Client::connect(&server.socket(), Framing::Extended);
    let mut zeroes = 0;
    for _ in 0..30 {
        Operation::random(&mut random, SIZE, 300_000, 1).send(&mut client);
        for extent in client
            .map(0, SIZE, SIZE)
            .iter()
            .filter(|extent| extent.is_zero())
        {
            let length = u32::try_from(extent.length).unwrap();
            let got = client.read(extent.offset, length).unwrap();
            assert!(got.iter().all(|byte| *byte == 0), "{extent:?}");
            zeroes += 1;
        }
    }
    assert!(zeroes > 0);
}

#[test]
fn maps_are_the_same_however_they_are_cut() {
    let mut random = Random::seeded(6);
    let server = serve();
    let mut extended = Client::connect(&server.socket(), Framing::Extended);
    let mut compact = Client::connect(&server.socket(), Framing::Structured);
    for _ in 0..12 {
        Operation::random(&mut random, SIZE, 200_000, 1).send(&mut extended);
    }
    let map = extended.map(0, SIZE, SIZE);
    assert!(map.len() > 2, "{map:?}");
    for step in [1009, PAGE - 1, PAGE, PAGE + 1] {
        assert_eq!(extended.map(0, SIZE, step), map, "{step} bytes at a time");
        assert_eq!(compact.map(0, SIZE, step), map, "{step} bytes at a time");
    }
}
