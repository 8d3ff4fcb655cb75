//! `sparse` against itself: its bytes against its map, and its map against the same map requested in other ways.

use nbd_proto::wire::StateFlags;
use nbd_proto::{CommandFlags, Framing};
use nbdbox_tests::{Client, Extent, Random, Server};

/// The length of a run, and the size of the disk.
const DISKS: [(u64, u64); 4] = [(1, 9001), (7, 30_011), (512, 300_007), (65_536, 5_000_011)];

fn serve(run: u64, size: u64, more: &[&str]) -> Server {
    let (size, run) = (format!("size={size}"), format!("runlength={run}"));
    let settings: Vec<&str> = [size.as_str(), &run]
        .into_iter()
        .chain(more.iter().copied())
        .collect();
    Server::plugin("sparse", &settings)
}

fn whole(client: &mut Client) -> Vec<Extent> {
    let size = client.size();
    client.map(0, size, size)
}

#[test]
fn bytes_are_zero_where_the_map_says_so_and_nowhere_else() {
    for (run, size) in DISKS {
        let server = serve(run, size, &[]);
        let mut client = Client::connect(&server.socket(), Framing::Extended);
        let bytes = client.read(0, u32::try_from(size).unwrap()).unwrap();
        let map = whole(&mut client);
        for kind in 0..4 {
            let kind = StateFlags::from_bits_truncate(kind);
            assert!(map.iter().any(|extent| extent.flags == kind), "no {kind:?}");
        }
        for extent in map {
            let start = usize::try_from(extent.offset).unwrap();
            let end = start + usize::try_from(extent.length).unwrap();
            let right = bytes[start..end]
                .iter()
                .all(|byte| (*byte == 0) == extent.is_zero());
            assert!(right, "runs of {run}: {extent:?}");
        }
    }
}

#[test]
fn any_range_reads_as_the_whole_does() {
    let mut random = Random::seeded(1);
    for (run, size) in DISKS {
        let server = serve(run, size, &[]);
        let mut client = Client::connect(&server.socket(), Framing::Extended);
        let bytes = client.read(0, u32::try_from(size).unwrap()).unwrap();
        for _ in 0..50 {
            let (offset, length) = random.range(size, 100_000);
            let got = client.read(offset, u32::try_from(length).unwrap()).unwrap();
            let place = usize::try_from(offset).unwrap();
            assert!(
                got == bytes[place..place + got.len()],
                "{length} bytes at {offset}"
            );
        }
    }
}

#[test]
fn maps_are_the_same_however_they_are_cut() {
    let mut random = Random::seeded(2);
    for (run, size) in DISKS {
        let server = serve(run, size, &[]);
        let mut extended = Client::connect(&server.socket(), Framing::Extended);
        let mut compact = Client::connect(&server.socket(), Framing::Structured);
        let map = whole(&mut extended);
        for step in [size / 1000 + 1, run + 1, 10 * run, random.of(run..size)] {
            assert_eq!(
                extended.map(0, size, step),
                map,
                "runs of {run}, steps of {step}"
            );
            assert_eq!(
                compact.map(0, size, step),
                map,
                "runs of {run}, steps of {step}"
            );
        }
    }
}

#[test]
fn a_map_asked_for_byte_by_byte_is_the_same() {
    for run in [1, 5] {
        let server = serve(run, 5003, &[]);
        let mut client = Client::connect(&server.socket(), Framing::Extended);
        assert_eq!(client.map(0, 5003, 1), whole(&mut client));
    }
}

#[test]
fn a_map_asked_for_extent_by_extent_is_the_same() {
    for (run, size) in DISKS {
        let server = serve(run, size, &[]);
        let mut client = Client::connect(&server.socket(), Framing::Extended);
        assert_eq!(
            client.map_one_by_one(0, size),
            whole(&mut client),
            "runs of {run}"
        );
    }
}

#[test]
fn a_cut_in_the_middle_only_clips() {
    let mut random = Random::seeded(3);
    for (run, size) in DISKS {
        let server = serve(run, size, &[]);
        let mut client = Client::connect(&server.socket(), Framing::Extended);
        let map = whole(&mut client);
        for _ in 0..30 {
            let (offset, length) = random.range(size, size);
            let clipped = map
                .iter()
                .filter_map(|extent| clip(extent, offset, offset + length));
            let expected: Vec<Extent> = clipped.collect();
            assert_eq!(
                client.map(offset, length, size),
                expected,
                "{length} bytes at {offset}"
            );
        }
    }
}

fn clip(extent: &Extent, start: u64, end: u64) -> Option<Extent> {
    let offset = extent.offset.max(start);
    let end = (extent.offset + extent.length).min(end);
    let length = end.checked_sub(offset).filter(|length| *length > 0)?;
    Some(Extent {
        offset,
        length,
        flags: extent.flags,
    })
}

#[test]
fn a_limit_on_extents_makes_replies_shorter_and_not_wrong() {
    let free = serve(7, 30_011, &[]);
    let mut free = Client::connect(&free.socket(), Framing::Extended);
    let map = whole(&mut free);
    for most in [1, 2, 3, 100] {
        let server = serve(7, 30_011, &["--limit", &format!("extents={most}")]);
        let mut client = Client::connect(&server.socket(), Framing::Extended);
        let first = client.status(0, 30_011, CommandFlags::empty()).unwrap();
        assert_eq!(first.len(), most, "{first:?}");
        assert_eq!(whole(&mut client), map, "at most {most}");
    }
}

#[test]
fn another_seed_is_another_disk_and_the_same_seed_the_same() {
    let maps = [1, 1, 2].map(|seed| {
        let server = serve(512, 300_007, &[&format!("seed={seed}")]);
        let mut client = Client::connect(&server.socket(), Framing::Extended);
        (whole(&mut client), client.read(0, 300_007).unwrap())
    });
    assert!(maps[0] == maps[1]);
    assert!(maps[0].0 != maps[2].0 && maps[0].1 != maps[2].1);
}
