//! A slow disk holds up only its own tenant, on eight threads at most.
//!
//! strace delays the system calls on one tenant's disk. The server has one worker, so a call made there would hold up
//! everybody.

use std::fs;
use std::thread;

use nbd_proto::wire::command;
use nbd_proto::{CommandFlags, Errno, Framing};
use nbdbox_tests::admin::{ADMIN, get, sample};
use nbdbox_tests::tenancy::{export, tenant};
use nbdbox_tests::{Client, Disk, Random, Raw, Server, Strace, Transmission, until};
use serde_json::Value;

const NONE: CommandFlags = CommandFlags::empty();
const MIB: u64 = 1 << 20;

/// Longer than any test waits, in strace's microseconds.
const FOR_EVER: &str = "delay_enter=600000000";

/// The threads of a lane.
const THREADS: usize = 8;

/// A server with one tenant that has the disk, and another tenant.
fn server(disk: &Disk, limits: &str) -> Server {
    let blobs = format!(
        "blobs = {{ disk = \"{}:rw\" }}\nlimits = {{ {limits} }}",
        disk.path().display()
    );
    let config = [
        tenant("slow", ""),
        export("slow", "disk", "file", &blobs),
        tenant("other", ""),
        export("other", "", "pattern", "settings = { size = \"1M\" }"),
        ADMIN.to_owned(),
    ];
    Server::hosting_with(&config.concat(), &["--threads", "1"])
}

fn slow(server: &Server) -> Transmission {
    let mut raw = Raw::connect(&server.folder().join("slow"));
    let _flags = raw.hello(3);
    raw.go("disk")
}

/// Checks that another tenant's client can connect and read.
fn assert_others_are_served(server: &Server) {
    let mut other = Client::connect_to(&server.folder().join("other"), "", Framing::Extended);
    for block in 0..100 {
        assert_eq!(other.read(block * 512, 512).unwrap().len(), 512);
    }
}

/// The threads with this name, from proc(5).
fn threads(server: &Server, name: &str) -> usize {
    let tasks = fs::read_dir(format!("/proc/{}/task", server.serving_pid())).unwrap();
    let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|comm| comm.trim_end() == name).count()
}

/// Delays a call on the disk, makes forty requests with `ask`, and checks that others are served meanwhile.
fn hold_up(call: &str, ask: impl Fn(&mut Transmission, u64)) {
    let disk = Disk::holding(&Random::seeded(1).bytes(1 << 20));
    let server = server(&disk, "");
    let mut slow = slow(&server);
    let waits = format!("{call}:{FOR_EVER}");
    // The server first tries a write that mustn't block. It fails here, so that a thread of the lane writes.
    let faults = [waits.as_str(), "pwritev2:error=EAGAIN"];
    let strace = Strace::inject(&server, &disk.path(), &faults);
    for cookie in 0..40 {
        ask(&mut slow, cookie);
    }
    until("the call is made", || strace.seen().contains(call));
    assert_others_are_served(&server);
    let threads = threads(&server, "lane-slow");
    assert!((1..=THREADS).contains(&threads), "{threads} threads");
    drop(slow);
    assert_others_are_served(&server);
    // Ends strace, and with it the delays.
    drop(strace);
    assert_others_are_served(&server);
}

#[test]
fn a_write_that_waits_holds_up_nobody_else() {
    hold_up("pwrite64", |slow, cookie| {
        slow.request(0, command::WRITE, cookie, cookie * 512, 512);
        slow.raw.send(&[7; 512]);
    });
}

#[test]
fn a_flush_that_waits_holds_up_nobody_else() {
    hold_up("fdatasync", |slow, cookie| {
        slow.request(1, command::WRITE, cookie, cookie * 512, 512);
        slow.raw.send(&[7; 512]);
    });
}

#[test]
fn a_trim_that_waits_holds_up_nobody_else() {
    hold_up("fallocate", |slow, cookie| {
        slow.request(0, command::TRIM, cookie, cookie * 512, 512);
    });
}

#[test]
fn a_prefetch_that_waits_holds_up_nobody_else() {
    hold_up("fadvise64", |slow, cookie| {
        slow.request(0, command::CACHE, cookie, cookie * 512, 512);
    });
}

#[test]
fn a_look_for_holes_that_waits_holds_up_nobody_else() {
    let disk = Disk::holding(&[1; 65_536]);
    disk.resize(MIB);
    let server = server(&disk, "");
    let waits = format!("lseek:{FOR_EVER}");
    let mut slow = Client::connect_to(&server.folder().join("slow"), "disk", Framing::Extended);
    let strace = Strace::inject(&server, &disk.path(), &[&waits]);
    let asked = thread::spawn(move || slow.status(0, MIB, NONE));
    until("the call is made", || !strace.seen().is_empty());
    assert_others_are_served(&server);
    drop(strace);
    assert_eq!(asked.join().unwrap().unwrap().len(), 2);
}

/// The limits of a plugin are for the plugin: the time of the disk doesn't count.
#[test]
fn a_disk_may_take_longer_than_a_plugin() {
    let disk = Disk::holding(&[1; 65_536]);
    let server = server(&disk, "wall = \"1s\"");
    let mut slow = Client::connect_to(&server.folder().join("slow"), "disk", Framing::Extended);
    let calls = "fdatasync,fallocate,pwrite64:delay_enter=1500000";
    let strace = Strace::inject(&server, &disk.path(), &[calls]);
    slow.write(0, &[7; 512], NONE).unwrap();
    slow.flush().unwrap();
    slow.write(512, &[7; 512], CommandFlags::FUA).unwrap();
    slow.zero(1024, 512, NONE).unwrap();
    slow.trim(1536, 512, NONE).unwrap();
    let _ = strace.detach();
    assert_eq!(slow.read(0, 1024).unwrap(), [7; 1024]);
    assert!(!server.log().contains("too long"), "{}", server.log());
}

#[test]
fn zeroes_that_a_file_cannot_have_otherwise_are_paid_for_as_writes() {
    let disk = Disk::holding(&[1; 4096]);
    disk.resize(64 * MIB);
    let server = server(&disk, "wall = \"1s\", bandwidth = \"1MiB\"");
    let mut slow = Client::connect_to(&server.folder().join("slow"), "disk", Framing::Extended);
    let strace = Strace::inject(&server, &disk.path(), &["fallocate:error=EOPNOTSUPP"]);
    let refused = slow.zero(0, 64 * MIB, NONE).unwrap_err();
    assert_eq!(refused.errno, Errno::Eio);
    assert!(refused.text.contains("rate"), "{}", refused.text);
    let _ = strace.detach();
}

#[test]
fn zeroes_are_not_written_for_a_client_that_has_gone() {
    let disk = Disk::holding(&[1; 4096]);
    disk.resize(1024 * MIB);
    // All zeroes together would take a quarter of an hour.
    let server = server(&disk, "bandwidth = \"1MiB\", wall = \"60min\"");
    let mut slow = slow(&server);
    let strace = Strace::inject(&server, &disk.path(), &["fallocate:error=EOPNOTSUPP"]);
    slow.request(0, command::WRITE_ZEROES, 1, 0, 1 << 30);
    until("the call fails", || strace.seen().contains("INJECTED"));
    drop(slow);
    // The connection ends after its last request.
    until("the connection ends", || {
        let metrics = get(&server, "/metrics");
        sample(&metrics, "nbdbox_connections", &[("export", "disk")]) == Some(0.0)
    });
}

/// Limit `storage-warning`: the log reports a slow operation once, and before that the admin listener shows it.
#[test]
fn a_slow_operation_is_shown_and_logged_once() {
    let disk = Disk::holding(&[1; 65_536]);
    let server = server(&disk, "storage-warning = \"1500ms\"");
    let mut slow = Client::connect_to(&server.folder().join("slow"), "disk", Framing::Extended);
    let strace = Strace::inject(&server, &disk.path(), &["fdatasync:delay_enter=6000000"]);
    slow.write(0, &[7; 512], NONE).unwrap();
    let flush = thread::spawn(move || slow.flush());
    let shown = || {
        let report: Value = serde_json::from_str(&get(&server, "/exports")).unwrap();
        let wait = report.pointer("/exports/1/layers/0/storage/0").cloned();
        wait.filter(|wait| wait["operation"] == "flush" && wait["blob"] == "disk")
    };
    until("it is shown", || shown().is_some());
    until("it learns of it", || {
        server
            .log()
            .contains("a flush of the blob `disk` has taken 1.5s so far")
    });
    flush.join().unwrap().unwrap();
    let _ = strace.detach();
    assert!(shown().is_none());
    assert_eq!(
        server.log().matches("so far").count(),
        1,
        "{}",
        server.log()
    );
}

/// Limit `storage`: the host gives up a slower operation, by its own fault, and no other.
#[test]
fn an_operation_is_given_up_if_the_operator_wants_that() {
    for (limit, is_given_up) in [("1s", true), ("10min", false)] {
        let disk = Disk::holding(&[1; 65_536]);
        let server = server(&disk, &format!("storage = \"{limit}\""));
        let mut slow = Client::connect_to(&server.folder().join("slow"), "disk", Framing::Extended);
        let strace = Strace::inject(&server, &disk.path(), &["fdatasync:delay_enter=3000000"]);
        slow.write(0, &[7; 512], NONE).unwrap();
        let flushed = slow.flush();
        let log = server.log();
        let is_told = log.contains("took longer than the limit `storage`");
        assert_eq!(
            (flushed.is_err(), is_told),
            (is_given_up, is_given_up),
            "{log}"
        );
        if let Err(refused) = flushed {
            assert_eq!(refused.errno, Errno::Eio);
        }
        drop(strace);
    }
}
