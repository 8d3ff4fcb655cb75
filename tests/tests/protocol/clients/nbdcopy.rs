//! `nbdcopy` in both directions: every byte, on any number of connections, and holes stay holes.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use nbd_proto::Framing;
use nbdbox_tests::{Client, Server, run, shell};

use super::oracle::{Disk, pattern, random_file};

/// The bytes of a whole export, read without nbdcopy.
fn bytes_of(server: &Server) -> Vec<u8> {
    let mut client = Client::connect(&server.socket(), Framing::Structured);
    let size = u32::try_from(client.size()).unwrap();
    client.read(0, size).unwrap()
}

fn copy(options: &[&str], from: &str, to: &str) {
    let _ = run("nbdcopy", options.iter().chain(&[from, to])).ok();
}

#[test]
fn an_export_is_copied_to_a_local_file() {
    let server = Server::plugin("pattern", &["size=3000003"]);
    let target = server.folder().join("copy");
    copy(&[], &server.uri(), target.to_str().unwrap());
    assert!(fs::read(&target).unwrap() == pattern(3_000_003));
}

#[test]
fn many_connections_bring_the_same_bytes() {
    let server = Server::plugin("pattern", &["size=3000003"]);
    let target = server.folder().join("copy");
    let options = [
        "--connections=4",
        "--threads=4",
        "--requests=64",
        "--request-size=4096",
    ];
    copy(&options, &server.uri(), target.to_str().unwrap());
    assert!(fs::read(&target).unwrap() == pattern(3_000_003));
}

#[test]
fn a_copy_without_pipelining_brings_the_same_bytes() {
    let server = Server::plugin("pattern", &["size=3000003"]);
    let target = server.folder().join("copy");
    copy(&["--synchronous"], &server.uri(), target.to_str().unwrap());
    assert!(fs::read(&target).unwrap() == pattern(3_000_003));
}

#[test]
fn a_local_file_is_copied_to_memory_and_back() {
    let server = Server::plugin("memory", &["size=3000003"]);
    let (source, bytes) = random_file(&server, "source", 3_000_003);
    let back = server.folder().join("back");
    copy(
        &["--connections=4"],
        source.to_str().unwrap(),
        &server.uri(),
    );
    copy(&["--connections=4"], &server.uri(), back.to_str().unwrap());
    assert!(fs::read(&back).unwrap() == bytes);
}

#[test]
fn a_local_file_is_copied_to_the_file_behind_an_export() {
    let disk = Disk::new(&[0xff; 3_000_003]);
    let server = disk.serve("rw");
    let (source, bytes) = random_file(&server, "source", 3_000_003);
    copy(
        &["--connections=4", "--flush"],
        source.to_str().unwrap(),
        &server.uri(),
    );
    assert!(disk.bytes() == bytes);
}

#[test]
fn holes_of_a_local_file_overwrite_what_was_there() {
    let disk = Disk::new(&[0xff; 1 << 20]);
    let server = disk.serve("rw");
    let source = server.folder().join("source");
    let script = "truncate -s 1M \"$0\"; printf hello | dd of=\"$0\" bs=1 seek=500000 conv=notrunc status=none";
    let _ = run("bash", ["-ec", script, source.to_str().unwrap()]).ok();
    copy(&[], source.to_str().unwrap(), &server.uri());
    assert!(disk.bytes() == fs::read(&source).unwrap());
    let allocated = fs::metadata(disk.path()).unwrap().blocks() * 512;
    assert!(
        allocated < 1 << 20,
        "{allocated} bytes: nothing became a hole"
    );
}

#[test]
fn a_sparse_export_makes_a_sparse_copy() {
    let server = Server::plugin("sparse", &["size=8M", "runlength=256K"]);
    let target = server.folder().join("copy");
    copy(&[], &server.uri(), target.to_str().unwrap());
    assert!(fs::read(&target).unwrap() == bytes_of(&server));
    let mut client = Client::connect(&server.socket(), Framing::Structured);
    let map = client.map(0, client.size(), client.size());
    let zeroes: u64 = map
        .iter()
        .filter(|extent| extent.is_zero())
        .map(|extent| extent.length)
        .sum();
    assert!(zeroes > 0);
    // The file system takes some blocks for itself.
    let allocated = fs::metadata(&target).unwrap().blocks() * 512;
    assert!(
        allocated <= (8 << 20) - zeroes + (64 << 10),
        "{allocated} bytes for a copy with {zeroes} zeroes"
    );
}

#[test]
fn a_copy_that_ignores_the_map_brings_the_same_bytes() {
    let server = Server::plugin("sparse", &["size=3000003", "runlength=10K"]);
    let target = server.folder().join("copy");
    copy(&["--no-extents"], &server.uri(), target.to_str().unwrap());
    assert!(fs::read(&target).unwrap() == bytes_of(&server));
}

#[test]
fn zeroes_copied_between_exports_become_holes() {
    let source = Server::plugin("sparse", &["size=8M", "runlength=256K"]);
    let target = Server::plugin("memory", &["size=8M"]);
    copy(&["--connections=2"], &source.uri(), &target.uri());
    assert!(bytes_of(&source) == bytes_of(&target));
    let mut from = Client::connect(&source.socket(), Framing::Structured);
    let mut to = Client::connect(&target.socket(), Framing::Structured);
    for extent in from.map(0, 8 << 20, 8 << 20) {
        for copied in to.map(extent.offset, extent.length, extent.length) {
            assert_eq!(
                copied.is_hole(),
                extent.is_zero(),
                "{extent:?} became {copied:?}"
            );
        }
    }
}

#[test]
fn zeroes_are_allocated_if_the_copy_wants_that() {
    let source = Server::plugin("sparse", &["size=2M", "runlength=256K"]);
    let target = Server::plugin("memory", &["size=2M"]);
    copy(&["--allocated"], &source.uri(), &target.uri());
    assert!(bytes_of(&source) == bytes_of(&target));
    let mut client = Client::connect(&target.socket(), Framing::Structured);
    assert!(
        client
            .map(0, 2 << 20, 2 << 20)
            .iter()
            .all(|extent| !extent.is_hole())
    );
}

#[test]
fn a_stream_is_copied_to_an_export_and_back() {
    let server = Server::plugin("memory", &["size=1000003"]);
    let (source, bytes) = random_file(&server, "source", 1_000_003);
    let back = server.folder().join("back");
    let (source, uri, target) = (source.display(), server.uri(), back.display());
    let script = format!("cat {source} | nbdcopy - '{uri}'; nbdcopy '{uri}' - | cat >{target}");
    let _ = shell(&script).ok();
    assert!(fs::read(&back).unwrap() == bytes);
}

#[test]
fn a_copy_to_a_read_only_export_fails() {
    let server = Server::plugin("pattern", &["size=4096"]);
    let (source, _) = random_file(&server, "source", 4096);
    let run = run("nbdcopy", [source.to_str().unwrap(), &server.uri()]);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(bytes_of(&server) == pattern(4096));
}
