//! The bytes that `file` has acknowledged are in the file: for other processes at once, and on the disk after FUA and
//! FLUSH. Space that was returned is free.

use std::fs;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::PathBuf;

use nbd_proto::{CommandFlags, Errno, Framing};
use nbdbox_tests::{Client, Random, Server, run};
use tempfile::TempDir;

const NONE: CommandFlags = CommandFlags::empty();
const MIB: u64 = 1 << 20;

/// A file in Cargo's folder for tests, which is less likely than `/tmp` to be only in memory.
struct Disk {
    folder: TempDir,
}

impl Disk {
    /// A hole of this size.
    fn empty(size: u64) -> Self {
        let folder = TempDir::with_prefix_in("disk-", env!("CARGO_TARGET_TMPDIR")).unwrap();
        let file = fs::File::create(folder.path().join("disk")).unwrap();
        file.set_len(size).unwrap();
        file.sync_all().unwrap();
        Self { folder }
    }

    /// A file with data at every offset, allocated.
    fn full(size: u64) -> Self {
        let disk = Self::empty(size);
        let bytes = Random::seeded(size).bytes(usize::try_from(size).unwrap());
        fs::write(disk.path(), bytes).unwrap();
        fs::File::open(disk.path()).unwrap().sync_all().unwrap();
        disk
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    fn serve(&self) -> Server {
        let grant = format!("disk={}:rw", self.path().display());
        Server::plugin("file", &["--blob", &grant])
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(self.path()).unwrap()
    }

    /// The bytes that the file occupies, as du counts them.
    fn allocated(&self) -> u64 {
        fs::metadata(self.path()).unwrap().blocks() * 512
    }

    /// Asserts that the file system has given every byte a place on the disk, which ext4, xfs and btrfs put off until a
    /// sync. Other file systems don't report it.
    fn assert_synced(&self) {
        let found = run("/usr/sbin/filefrag", ["-v".into(), self.path()]);
        if found.stdout.contains("unsupported") || found.stderr.contains("unsupported") {
            println!("the file system doesn't report it: {found:?}");
            return;
        }
        assert!(found.stdout.contains("logical_offset"), "{found:?}");
        assert!(!found.stdout.contains("delalloc"), "{}", found.stdout);
    }
}

fn connect(server: &Server) -> Client {
    Client::connect(&server.socket(), Framing::Extended)
}

#[test]
fn a_write_is_in_the_file_when_the_reply_comes() {
    let disk = Disk::empty(MIB);
    let server = disk.serve();
    let mut client = connect(&server);
    let mut expected = disk.bytes();
    for (index, flags) in [NONE, CommandFlags::FUA]
        .into_iter()
        .cycle()
        .take(20)
        .enumerate()
    {
        let (offset, bytes) = (index * 50_001, vec![u8::try_from(index).unwrap() + 1; 9999]);
        client.write(offset as u64, &bytes, flags).unwrap();
        expected[offset..offset + 9999].copy_from_slice(&bytes);
        assert!(disk.bytes() == expected, "write {index}");
    }
}

#[test]
fn what_was_acknowledged_survives_the_servers_death() {
    let disk = Disk::empty(MIB);
    let server = disk.serve();
    let mut client = connect(&server);
    client.write(12_345, b"acknowledged", NONE).unwrap();
    client.write(54_321, b"durable", CommandFlags::FUA).unwrap();
    // Dropping it sends SIGKILL.
    drop(server);
    let bytes = disk.bytes();
    assert_eq!(&bytes[12_345..12_357], b"acknowledged");
    assert_eq!(&bytes[54_321..54_328], b"durable");
}

#[test]
fn fua_reaches_the_disk() {
    let disk = Disk::empty(MIB);
    let server = disk.serve();
    connect(&server)
        .write(4096, &[1; 8192], CommandFlags::FUA)
        .unwrap();
    disk.assert_synced();
    assert_eq!(disk.allocated(), 8192);
}

#[test]
fn fua_on_zeroes_reaches_the_disk() {
    let disk = Disk::empty(MIB);
    let server = disk.serve();
    let mut client = connect(&server);
    // The bytes that were written before are in the same file.
    client.write(MIB / 2, &[1; 8192], NONE).unwrap();
    client
        .zero(0, 4096, CommandFlags::FUA | CommandFlags::NO_HOLE)
        .unwrap();
    disk.assert_synced();
    client.write(MIB / 4, &[1; 8192], NONE).unwrap();
    client.trim(MIB / 2, 4096, CommandFlags::FUA).unwrap();
    disk.assert_synced();
}

#[test]
fn a_flush_brings_all_writes_to_the_disk() {
    let disk = Disk::empty(MIB);
    let server = disk.serve();
    let mut client = connect(&server);
    for index in 0..16 {
        client.write(index * 65_536, &[1; 5000], NONE).unwrap();
    }
    client.flush().unwrap();
    disk.assert_synced();
}

#[test]
fn a_flush_covers_other_connections() {
    let disk = Disk::empty(MIB);
    let server = disk.serve();
    let (mut writer, mut flusher) = (connect(&server), connect(&server));
    for index in 0..16 {
        writer.write(index * 65_536, &[1; 5000], NONE).unwrap();
    }
    flusher.flush().unwrap();
    disk.assert_synced();
}

#[test]
fn a_trim_gives_the_blocks_back() {
    let disk = Disk::full(4 * MIB);
    let mut expected = disk.bytes();
    let before = disk.allocated();
    let server = disk.serve();
    connect(&server).trim(MIB, 2 * MIB, NONE).unwrap();
    assert_eq!(before - disk.allocated(), 2 * MIB);
    let trimmed = usize::try_from(MIB).unwrap()..usize::try_from(3 * MIB).unwrap();
    expected[trimmed].fill(0);
    assert!(disk.bytes() == expected);
}

#[test]
fn zeroes_give_the_blocks_back() {
    let disk = Disk::full(4 * MIB);
    let before = disk.allocated();
    let server = disk.serve();
    connect(&server).zero(MIB, 2 * MIB, NONE).unwrap();
    assert_eq!(before - disk.allocated(), 2 * MIB);
}

#[test]
fn zeroes_without_a_hole_keep_the_blocks() {
    let disk = Disk::full(4 * MIB);
    let mut expected = disk.bytes();
    let before = disk.allocated();
    let server = disk.serve();
    connect(&server)
        .zero(MIB, 2 * MIB, CommandFlags::NO_HOLE)
        .unwrap();
    assert!(
        disk.allocated() >= before,
        "{} of {before}",
        disk.allocated()
    );
    let zeroed = usize::try_from(MIB).unwrap()..usize::try_from(3 * MIB).unwrap();
    expected[zeroed].fill(0);
    assert!(disk.bytes() == expected);
}

#[test]
fn zeroes_without_a_hole_allocate_where_there_was_one() {
    let disk = Disk::empty(4 * MIB);
    let before = disk.allocated();
    let server = disk.serve();
    connect(&server)
        .zero(MIB, 2 * MIB, CommandFlags::NO_HOLE | CommandFlags::FUA)
        .unwrap();
    assert!(disk.allocated() >= before + 2 * MIB, "{}", disk.allocated());
    assert!(disk.bytes().iter().all(|byte| *byte == 0));
}

#[test]
fn fast_zeroes_are_done_or_refused_with_nothing_changed() {
    for no_hole in [NONE, CommandFlags::NO_HOLE] {
        let disk = Disk::full(MIB);
        let mut expected = disk.bytes();
        let server = disk.serve();
        match connect(&server).zero(4096, 8192, CommandFlags::FAST_ZERO | no_hole) {
            Ok(()) => expected[4096..12_288].fill(0),
            Err(refused) => assert_eq!(refused.errno, Errno::Enotsup, "{refused}"),
        }
        assert!(disk.bytes() == expected);
    }
}

#[test]
fn zeroes_and_trims_at_odd_offsets_leave_the_neighbours_alone() {
    for flags in [NONE, CommandFlags::NO_HOLE] {
        let disk = Disk::full(MIB);
        let mut expected = disk.bytes();
        let server = disk.serve();
        let mut client = connect(&server);
        client.zero(4097, 10_001, flags).unwrap();
        expected[4097..14_098].fill(0);
        client.zero(500_000, 3, flags).unwrap();
        expected[500_000..500_003].fill(0);
        assert!(disk.bytes() == expected, "{flags:?}");
        client.trim(700_001, 30_000, NONE).unwrap();
        let bytes = disk.bytes();
        assert!(bytes[..700_001] == expected[..700_001]);
        assert!(bytes[730_001..] == expected[730_001..]);
    }
}

#[test]
fn the_file_keeps_its_size() {
    let disk = Disk::full(MIB + 77);
    let server = disk.serve();
    let mut client = connect(&server);
    client.trim(MIB - 5, 82, NONE).unwrap();
    client.zero(MIB, 77, CommandFlags::NO_HOLE).unwrap();
    client.zero(MIB, 77, NONE).unwrap();
    assert_eq!(
        client.write(MIB + 77, b"x", NONE).unwrap_err().errno,
        Errno::Enospc
    );
    assert_eq!(client.zero(MIB, 78, NONE).unwrap_err().errno, Errno::Enospc);
    assert_eq!(client.trim(MIB, 78, NONE).unwrap_err().errno, Errno::Einval);
    assert_eq!(fs::metadata(disk.path()).unwrap().len(), MIB + 77);
}

#[test]
fn a_change_from_outside_is_seen() {
    let disk = Disk::full(MIB);
    let server = disk.serve();
    let mut client = connect(&server);
    assert_eq!(client.read(1000, 5).unwrap(), disk.bytes()[1000..1005]);
    let file = fs::OpenOptions::new()
        .write(true)
        .open(disk.path())
        .unwrap();
    file.write_all_at(b"other", 1000).unwrap();
    assert_eq!(client.read(1000, 5).unwrap(), b"other");
}
