//! A configuration or a file changes while its export is open. The next client gets the new state, unless then two
//! generations would write where only one may.

use std::fs;
use std::path::Path;

use nbd_proto::{CommandFlags, Errno, Framing};
use nbdbox_tests::admin::{ADMIN, get};
use nbdbox_tests::{Client, Disk, Run, Server, nbdbox, plugin, run, until};

use super::scene::{export, tenant};

const MIB: u64 = 1 << 20;
const NONE: CommandFlags = CommandFlags::empty();

fn connect(server: &Server) -> Client {
    connect_to(server, "disk")
}

fn connect_to(server: &Server, name: &str) -> Client {
    Client::connect_to(&server.folder().join("alice"), name, Framing::Extended)
}

fn hang_up(server: &Server) {
    let reloads = || server.log().matches("reloaded (SIGHUP)").count();
    let before = reloads();
    let _ = run("kill", ["-HUP", &server.pid().to_string()]).ok();
    until("a reload", || reloads() > before);
}

/// Alice has a file that she may write.
fn file(disk: &Path) -> String {
    let blobs = format!("blobs = {{ disk = \"{}:rw\" }}", disk.display());
    [tenant("alice", ""), export("alice", "disk", "file", &blobs)].concat()
}

/// Alice has an overlay over a file, with this limit of extents.
fn overlay(disk: &Disk, overlay: &Disk, extents: u32) -> String {
    let (disk, overlay, cow) = (disk.path(), overlay.path(), plugin("cow"));
    let more = format!(
        "blobs = {{ disk = \"{}\" }}\nlimits = {{ extents = {extents} }}\n\
         filters = [{{ plugin = \"{}\", blobs = {{ overlay = \"{}:rw\" }} }}]",
        disk.display(),
        cow.display(),
        overlay.display()
    );
    [
        ADMIN.to_owned(),
        tenant("alice", ""),
        export("alice", "disk", "file", &more),
    ]
    .concat()
}

fn pending(server: &Server) -> bool {
    let report = get(server, "/exports");
    let pending = report.contains("\"pending\":true") || report.contains("\"pending\": true");
    assert!(pending || report.contains("\"pending\""), "{report}");
    pending
}

/// In the issue, none of the 32 blocks survived.
#[test]
fn flushed_writes_to_an_overlay_survive_a_reload_under_a_connected_client() {
    let (disk, changes) = (Disk::empty(4 * MIB), Disk::empty(8 * MIB));
    let server = Server::hosting(&overlay(&disk, &changes, 100));
    let block = |index: u64| vec![u8::try_from(index).unwrap() + 1; 4096];
    let mut first = connect(&server);
    let write = |client: &mut Client, index: u64| {
        client.write(index * 65_536, &block(index), NONE).unwrap();
        client.flush().unwrap();
    };
    (0..8).for_each(|index| write(&mut first, index));
    assert!(!pending(&server));
    server.reload(&overlay(&disk, &changes, 101));
    let mut second = connect(&server);
    assert!(pending(&server));
    for index in 8..32 {
        write(
            if index % 2 == 0 {
                &mut first
            } else {
                &mut second
            },
            index,
        );
    }
    // Each client sees the other's writes, because both have the same generation.
    for client in [&mut first, &mut second] {
        for index in 0..32 {
            assert!(
                client.read(index * 65_536, 4096).unwrap() == block(index),
                "{index}"
            );
        }
    }
    let third = connect(&server);
    assert_eq!(
        server.log().matches("stays as it was until").count(),
        1,
        "{}",
        server.log()
    );
    // The configuration is as before, so nothing is pending.
    server.reload(&overlay(&disk, &changes, 100));
    let fourth = connect(&server);
    assert!(!pending(&server));
    server.reload(&overlay(&disk, &changes, 101));
    drop((first, second, third, fourth));
    until("the last one has left", || {
        drop(connect(&server));
        !pending(&server)
    });
    let mut last = connect(&server);
    for index in 0..32 {
        assert!(
            last.read(index * 65_536, 4096).unwrap() == block(index),
            "{index}"
        );
    }
}

/// A reload removes the export, and another adds it again, while one client stays connected.
#[test]
fn an_export_that_comes_back_is_the_one_that_its_clients_have() {
    let (disk, changes) = (Disk::empty(4 * MIB), Disk::empty(8 * MIB));
    let config = overlay(&disk, &changes, 100);
    let server = Server::hosting(&config);
    let mut first = connect(&server);
    first.write(0, &[1; 4096], NONE).unwrap();
    server.reload(&[ADMIN.to_owned(), tenant("alice", "")].concat());
    server.reload(&config);
    let mut second = connect(&server);
    second.write(65_536, &[2; 4096], NONE).unwrap();
    second.flush().unwrap();
    first.write(131_072, &[3; 4096], CommandFlags::FUA).unwrap();
    drop((first, second));
    // Dropping it sends SIGKILL.
    drop(server);
    let server = Server::hosting(&config);
    let mut last = connect(&server);
    for (offset, byte) in [(0, 1), (65_536, 2), (131_072, 3)] {
        assert_eq!(last.read(offset, 4096).unwrap(), [byte; 4096]);
    }
}

/// Under another name it's another export, which the server refuses as long as the first one has clients.
#[test]
fn a_renamed_export_waits_for_the_clients_of_its_first_name() {
    let disk = Disk::empty(MIB);
    let config = file(&disk.path());
    let server = Server::hosting(&config);
    let first = connect(&server);
    server.reload(&config.replace("name = \"disk\"\n", "name = \"other\"\n"));
    let size = || {
        run(
            "nbdinfo",
            ["--size", &super::scene::uri(&server, "alice", "other")],
        )
    };
    assert_ne!(size().code, 0);
    let log = server.log();
    assert!(log.contains("the same file as blob `disk`"), "{log}");
    drop(first);
    until("the first has left", || size().code == 0);
}

#[test]
fn a_replaced_file_is_there_after_a_reload_for_those_who_come_next() {
    let disk = Disk::holding(&vec![1; 1 << 20]);
    let server = Server::hosting(&file(&disk.path()));
    let mut old = connect(&server);
    let next = disk.path().with_file_name("next");
    fs::write(&next, vec![2; 2 << 20]).unwrap();
    fs::rename(&next, disk.path()).unwrap();
    hang_up(&server);
    let mut new = connect(&server);
    assert_eq!(new.size(), 2 * MIB);
    assert_eq!(new.read(0, 4).unwrap(), [2; 4]);
    // A client that was connected keeps the old file.
    assert_eq!(old.read(0, 4).unwrap(), [1; 4]);
    old.write(0, &[7; 4], CommandFlags::FUA).unwrap();
    new.write(4, &[8; 4], NONE).unwrap();
    new.flush().unwrap();
    assert_eq!(disk.bytes()[..8], [2, 2, 2, 2, 8, 8, 8, 8]);
}

#[test]
fn an_export_whose_file_was_removed_is_not_opened() {
    let disk = Disk::empty(MIB);
    let server = Server::hosting(&file(&disk.path()));
    drop(connect(&server));
    fs::remove_file(disk.path()).unwrap();
    hang_up(&server);
    let uri = super::scene::uri(&server, "alice", "disk");
    assert_ne!(run("nbdinfo", ["--size", &uri]).code, 0);
    assert!(
        server.log().contains("can't open the export"),
        "{}",
        server.log()
    );
}

#[test]
fn a_file_that_has_grown_is_larger_for_the_next_connection() {
    let disk = Disk::empty(MIB);
    let server = Server::hosting(&file(&disk.path()));
    let mut old = connect(&server);
    disk.resize(2 * MIB);
    let mut new = connect(&server);
    assert_eq!((old.size(), new.size()), (MIB, 2 * MIB));
    new.write(2 * MIB - 4, b"last", NONE).unwrap();
    old.write(0, b"old", NONE).unwrap();
    // Both generations share one open file description: each makes the other's changes durable, and both see them.
    old.flush().unwrap();
    assert_eq!(new.read(0, 3).unwrap(), b"old");
    assert_eq!(disk.bytes()[(2 << 20) - 4..], *b"last");
}

#[test]
fn a_file_that_has_grown_is_larger_without_a_configuration_too() {
    let disk = Disk::empty(MIB);
    let server = disk.serve();
    let old = Client::connect(&server.socket(), Framing::Simple);
    disk.resize(2 * MIB);
    let new = Client::connect(&server.socket(), Framing::Simple);
    assert_eq!((old.size(), new.size()), (MIB, 2 * MIB));
}

#[test]
fn an_overlay_over_a_file_that_has_grown_stays_until_its_clients_have_left() {
    let (disk, changes) = (Disk::empty(4 * MIB), Disk::empty(32 * MIB));
    let grant = format!("--blob=disk={}:ro", disk.path().display());
    let cow = format!(
        "{},blob.overlay={}:rw",
        plugin("cow").display(),
        changes.path().display()
    );
    let file = plugin("file").display().to_string();
    let server = Server::start([&grant[..], "--filter", &cow, &file]);
    let mut first = Client::connect(&server.socket(), Framing::Simple);
    first.write(0, b"changed", NONE).unwrap();
    changes.resize(33 * MIB);
    let mut second = Client::connect(&server.socket(), Framing::Simple);
    assert_eq!(
        second.read(0, 7).unwrap(),
        b"changed",
        "the write isn't flushed yet"
    );
    assert!(
        server.log().contains("stays as it was until"),
        "{}",
        server.log()
    );
    drop((first, second));
    let mut third = Client::connect(&server.socket(), Framing::Simple);
    assert_eq!(third.read(0, 7).unwrap(), b"changed");
}

#[test]
fn what_a_file_has_lost_is_an_error_and_never_zeroes() {
    let disk = Disk::holding(&vec![5; 2 << 20]);
    let server = Server::hosting(&file(&disk.path()));
    let mut old = connect(&server);
    disk.resize(MIB);
    assert_eq!(old.read(MIB, 4096).unwrap_err().errno, Errno::Eio);
    assert_eq!(old.read(MIB - 4096, 8192).unwrap_err().errno, Errno::Eio);
    assert_eq!(old.read(MIB - 4096, 4096).unwrap(), [5; 4096]);
    // The next generation doesn't have a smaller disk either.
    let mut new = connect(&server);
    assert_eq!(new.size(), 2 * MIB);
    assert_eq!(new.read(MIB, 4096).unwrap_err().errno, Errno::Eio);
}

fn check(config: &str) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nbdbox.toml");
    fs::write(&path, config.replace("FOLDER", "/tmp")).unwrap();
    run(nbdbox(), [Path::new("check"), &path])
}

#[test]
fn a_file_that_two_exports_would_write_is_refused_before_anything_is_served() {
    let disk = Disk::empty(MIB);
    let link = disk.path().with_file_name("link");
    fs::hard_link(disk.path(), &link).unwrap();
    let other = |more: &str| {
        let blobs = format!(
            "blobs = {{ disk = {{ path = \"{}\", {more} }} }}",
            link.display()
        );
        [tenant("bob", ""), export("bob", "copy", "file", &blobs)].concat()
    };
    let alice = file(&disk.path());
    let both = alice.clone() + &other("access = \"rw\"");
    let checked = check(&both);
    assert_eq!(checked.code, 1, "{checked:?}");
    for words in [
        "the same file as blob `disk` of export \"disk\" of tenant alice",
        "tenant.bob.export.blobs.disk",
    ] {
        assert!(checked.stderr.contains(words), "{}", checked.stderr);
    }
    let server = Server::hosting(&alice);
    server.reload(&both);
    assert!(
        server.log().contains("the previous one stays in force"),
        "{}",
        server.log()
    );
    assert!(server.log().contains("the same file"), "{}", server.log());
    // An export that reads the file is no second writer, and one with `lock = "shared"` may write too.
    let _ = check(&(alice + &other("access = \"ro\""))).ok();
    let share = |config: &str| {
        let grant = format!("\"{}:rw\"", disk.path().display());
        let table = format!(
            "{{ path = \"{}\", access = \"rw\", lock = \"shared\" }}",
            disk.path().display()
        );
        config.replace(&grant, &table)
    };
    let shared = share(&file(&disk.path())) + &other("access = \"rw\", lock = \"shared\"");
    let _ = check(&shared).ok();
    server.reload(&shared);
    drop((
        connect(&server),
        Client::connect_to(&server.folder().join("bob"), "copy", Framing::Simple),
    ));
}

#[test]
fn a_check_disturbs_no_server() {
    let disk = Disk::empty(MIB);
    let config = file(&disk.path());
    let server = Server::hosting(&config);
    let mut client = connect(&server);
    let _ = check(&config).ok();
    client.write(0, b"data", CommandFlags::FUA).unwrap();
}
