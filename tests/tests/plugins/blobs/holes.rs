//! The server looks for a file's holes once, until the file changes.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::time::{Duration, Instant};

use nbd_proto::{CommandFlags, Framing};
use nbdbox_tests::{Client, Disk, Extent, Server, Strace};

/// The number of data fragments, and of the holes between them.
const FRAGMENTS: u64 = 500;

/// The bytes of a fragment, and of the hole behind it.
const LENGTH: u64 = 64 << 10;

const SIZE: u64 = FRAGMENTS * 2 * LENGTH;

fn fragmented() -> Disk {
    let disk = Disk::empty(SIZE);
    let file = File::options().write(true).open(disk.path()).unwrap();
    for index in 0..FRAGMENTS {
        file.write_all_at(&[7; 4096], index * 2 * LENGTH).unwrap();
    }
    file.sync_all().unwrap();
    // The file must be old enough, or the server can't tell the next change from the last.
    file.set_modified(std::time::SystemTime::now() - Duration::from_secs(10))
        .unwrap();
    disk
}

fn map(client: &mut Client) -> Vec<Extent> {
    client.map(0, SIZE, SIZE)
}

/// The map, and how often the server looked for data or holes to make it.
fn looks(server: &Server, client: &mut Client) -> (Vec<Extent>, usize) {
    let strace = Strace::attach(server, "lseek");
    let map = map(client);
    let log = strace.detach();
    (
        map,
        log.matches("SEEK_DATA").count() + log.matches("SEEK_HOLE").count(),
    )
}

/// Waits until the server keeps the map, which it doesn't do soon after a change.
fn settled(server: &Server, client: &mut Client) -> Vec<Extent> {
    let start = Instant::now();
    loop {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "the server never keeps the map"
        );
        let _found_now = map(client);
        let (map, looks) = looks(server, client);
        if looks == 0 {
            return map;
        }
    }
}

#[test]
fn holes_of_a_fragmented_file_are_looked_for_once() {
    let disk = fragmented();
    let server = disk.serve();
    let mut client = Client::connect(&server.socket(), Framing::Extended);
    let first = map(&mut client);
    assert!(first.len() as u64 >= 2 * FRAGMENTS, "{}", first.len());
    assert_eq!(settled(&server, &mut client), first);
}

#[test]
fn a_change_by_any_program_is_seen_at_once() {
    let disk = fragmented();
    let server = disk.serve();
    let mut client = Client::connect(&server.socket(), Framing::Extended);
    let is_data = |client: &mut Client, index: u64| {
        let extents = client.map((2 * index + 1) * LENGTH, 4096, 4096);
        extents.iter().all(|extent| !extent.is_hole())
    };
    for index in 0..4 {
        settled(&server, &mut client);
        assert!(!is_data(&mut client, index));
        let offset = (2 * index + 1) * LENGTH;
        if index % 2 == 0 {
            client
                .write(offset, &[9; 4096], CommandFlags::empty())
                .unwrap();
        } else {
            let file = File::options().write(true).open(disk.path()).unwrap();
            file.write_all_at(&[9; 4096], offset).unwrap();
        }
        assert!(is_data(&mut client, index), "{index}");
    }
    settled(&server, &mut client);
    client.trim(0, 2 * LENGTH, CommandFlags::empty()).unwrap();
    assert!(client.map(0, 4096, 4096)[0].is_hole());
}
