//! `cache`, next to nbdkit's: the same bytes, written below at the same time.

use nbd_proto::{CommandFlags, Framing};
use nbdbox_tests::{Client, Disk, Random};

use super::compare::{Pair, content, serve};

/// A size that is a multiple of nothing.
const SIZE: usize = (4 << 20) + 12_801;

/// A cache size that makes the filter give up blocks all the time, and one that doesn't. nbdkit's filter always has the
/// large one, because it forgets changes when it gives up blocks.
const SIZES: [&str; 2] = ["256K", "16M"];

#[test]
fn bytes_are_the_same_as_nbdkits() {
    for (seed, mode) in [(1, "writeback"), (2, "writethrough"), (3, "unsafe")] {
        for size in SIZES {
            for on_read in ["false", "true"] {
                let mut random = Random::seeded(seed);
                let bytes = content(&mut random, SIZE);
                let settings = [format!("cache={mode}"), format!("cache-on-read={on_read}")];
                let filter = format!("cache,cache-max-size={size},{}", settings.join(","));
                let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
                let mut pair = Pair::new(&bytes, &filter, &["--filter=cache"], &settings);
                for _ in 0..3 {
                    pair.change(&mut random, 20);
                    pair.assert_same_bytes(&mut random);
                }
                for client in [&mut pair.ours, &mut pair.theirs] {
                    client.flush().unwrap();
                }
                let [ours, theirs] = pair.files();
                let same = mode == "unsafe" || ours == theirs;
                assert!(same, "{filter}: what came below");
            }
        }
    }
}

/// Whether the change is below after a write, after a write with FUA, and after a flush.
fn below(mode: &str) -> [bool; 3] {
    let mut pair = Pair::new(
        &vec![1; 1 << 20],
        &format!("cache,cache={mode}"),
        &["--filter=cache"],
        &[&format!("cache={mode}")],
    );
    let mut seen = |at: usize, flags: CommandFlags, flush: bool| {
        for client in [&mut pair.ours, &mut pair.theirs] {
            client.write(at as u64, &[2; 5000], flags).unwrap();
            if flush {
                client.flush().unwrap();
            }
        }
        let [ours, theirs] = pair.files().map(|file| file[at] == 2);
        assert_eq!(ours, theirs, "{mode}: {flags:?}, flush {flush}");
        ours
    };
    [
        seen(1000, CommandFlags::empty(), false),
        seen(200_000, CommandFlags::FUA, false),
        seen(400_000, CommandFlags::empty(), true),
    ]
}

#[test]
fn changes_go_below_when_nbdkits_do() {
    assert_eq!(below("writeback"), [false, true, true]);
    assert_eq!(below("writethrough"), [true, true, true]);
    assert_eq!(below("unsafe"), [false, false, false]);
}

#[test]
fn written_bytes_are_no_hole() {
    let disk = Disk::empty(SIZE as u64);
    let server = serve(&disk, &["cache"]);
    let mut client = Client::connect(&server.socket(), Framing::Extended);
    client
        .write(100_000, &[1; 10], CommandFlags::empty())
        .unwrap();
    let map = client.map(0, SIZE as u64, SIZE as u64);
    let spans: Vec<_> = map
        .iter()
        .map(|e| (e.offset, e.length, e.is_zero()))
        .collect();
    let rest = SIZE as u64 - 131_072;
    let expected = [
        (0, 65_536, true),
        (65_536, 65_536, false),
        (131_072, rest, true),
    ];
    assert_eq!(spans, expected);
    client.flush().unwrap();
    assert_eq!(disk.bytes()[100_000..100_010], [1; 10]);
}

#[test]
fn changes_are_written_below_when_their_client_leaves() {
    let disk = Disk::empty(1 << 20);
    let server = serve(&disk, &["cache"]);
    let mut client = Client::connect(&server.socket(), Framing::Extended);
    client.write(0, &[1; 10], CommandFlags::empty()).unwrap();
    drop(client);
    let exit = server.stop();
    assert_eq!(exit.code, Some(0), "{}", exit.log);
    assert_eq!(disk.bytes()[..10], [1; 10]);
}

#[test]
fn a_memory_limit_makes_the_cache_smaller_and_nothing_fail() {
    let mut random = Random::seeded(4);
    let bytes = content(&mut random, SIZE);
    let disk = Disk::holding(&bytes);
    let filter = "cache,limit.memory=3M,cache-max-size=1G,cache-on-read=true";
    let server = serve(&disk, &[filter]);
    let mut client = Client::connect(&server.socket(), Framing::Extended);
    let mut expected = bytes;
    for _ in 0..60 {
        let (offset, length) = random.range(SIZE as u64, 400_000);
        let new = random.bytes(usize::try_from(length).unwrap());
        client.write(offset, &new, CommandFlags::empty()).unwrap();
        let at = usize::try_from(offset).unwrap();
        expected[at..at + new.len()].copy_from_slice(&new);
        let (offset, length) = random.range(SIZE as u64, 400_000);
        let read = client.read(offset, u32::try_from(length).unwrap()).unwrap();
        let at = usize::try_from(offset).unwrap();
        assert!(read == expected[at..at + read.len()]);
    }
    client.flush().unwrap();
    assert!(disk.bytes() == expected);
}
