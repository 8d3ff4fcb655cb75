//! Rules about several requests, and about the end of a connection (points 49–52 of `CHECKLIST.md`).

use std::collections::HashSet;
use std::thread;
use std::time::Duration;

use nbd_proto::wire::{CommandFlags, ExportFlags, REQUEST_MAGIC, command};
use nbd_proto::{Errno, Framing};
use nbdbox_tests::{Dialog, Disk, FRAMINGS, Raw, Server, guest};

const ESHUTDOWN: u32 = Errno::Eshutdown.to_wire();
const FUA: u16 = CommandFlags::FUA.bits();

/// The offset at which the plugin of [`slow`] takes its time.
const SLOW: u64 = 4096;

/// A disk of 0x42 whose calls of this kind take a while at the offset [`SLOW`].
fn slow(call: &str, more: &[&str]) -> Server {
    let mut arguments = vec![guest("bad").into_os_string()];
    arguments.push(format!("at={call}").into());
    arguments.extend(["do=slow", "offset=4096", "mode=parallel", "size=64M"].map(Into::into));
    arguments.extend(more.iter().map(Into::into));
    Server::start(arguments)
}

/// Point 49: bytes that were written with FUA on one connection can be read on every other, and by the host.
#[test]
fn a_durable_write_is_seen_by_all() {
    let disk = Disk::empty(1 << 20);
    let server = disk.serve();
    let mut readers = FRAMINGS.map(|framing| Dialog::open(&server, framing));
    let mut writer = Dialog::open(&server, Framing::Simple);
    assert!(writer.has(ExportFlags::SEND_FUA | ExportFlags::CAN_MULTI_CONN));
    for round in 1..=20 {
        assert_eq!(writer.write(FUA, 512, &[round; 1000]), 0);
        for reader in &mut readers {
            assert_eq!(reader.read(512, 1000), [round; 1000]);
        }
        assert_eq!(disk.bytes()[512..1512], [round; 1000]);
    }
}

/// Point 49: a flush on one connection is answered after writes that were answered on others; then all connections see
/// these writes.
#[test]
fn a_flush_covers_the_writes_of_all_connections() {
    let disk = Disk::empty(1 << 20);
    for server in [disk.serve(), Server::plugin("memory", &["size=1M"])] {
        let mut writers: Vec<_> = (0..4)
            .map(|_| Dialog::open(&server, Framing::Structured))
            .collect();
        let mut flusher = Dialog::open(&server, Framing::Extended);
        assert!(flusher.has(ExportFlags::SEND_FLUSH | ExportFlags::CAN_MULTI_CONN));
        for (at, writer) in (0u8..).zip(&mut writers) {
            assert_eq!(writer.write(0, u64::from(at) * 4096, &[at + 1; 4096]), 0);
        }
        assert_eq!(flusher.ask(0, command::FLUSH, 0, 0).error, 0);
        for at in 0..4u8 {
            assert_eq!(flusher.read(u64::from(at) * 4096, 4096), [at + 1; 4096]);
        }
    }
}

/// Point 49: writes are there after their connection ended without a disconnect.
#[test]
fn a_replied_write_outlives_its_connection() {
    let server = Server::plugin("memory", &["size=1M"]);
    let mut writer = Dialog::open(&server, Framing::Simple);
    assert_eq!(writer.write(0, 0, &[9; 512]), 0);
    drop(writer);
    assert_eq!(
        Dialog::open(&server, Framing::Simple).read(0, 512),
        [9; 512]
    );
}

/// Point 49: a flush that the plugin fails is not answered with success.
#[test]
fn a_failed_flush_is_an_error() {
    let bad = guest("bad").into_os_string();
    let server = Server::start([bad, "at=flush".into(), "do=einval".into()]);
    let mut dialog = Dialog::open(&server, Framing::Structured);
    assert_eq!(dialog.write(0, 0, &[1; 512]), 0);
    assert_ne!(dialog.ask(0, command::FLUSH, 0, 0).error, 0);
    dialog.assert_in_step();
}

/// Point 50: DISC has no reply; the requests before it are all answered, then the server closes.
#[test]
fn disc_finishes_what_is_in_flight() {
    let server = slow("read", &[]);
    for framing in FRAMINGS {
        let mut dialog = Dialog::open(&server, framing);
        let mut asked: HashSet<u64> = HashSet::new();
        for _ in 0..3 {
            asked.insert(dialog.send(0, command::READ, SLOW, 512));
            asked.insert(dialog.send(0, command::READ, 0, 512));
        }
        dialog.send(0, command::DISC, 0, 0);
        for _ in 0..6 {
            let answer = dialog.receive();
            assert_eq!((answer.error, &answer.data[..]), (0, &[0x42; 512][..]));
            assert!(asked.remove(&answer.cookie));
        }
        assert!(dialog.transmission.raw.is_closed());
    }
    let _ = Dialog::open(&server, Framing::Structured).read(0, 16);
}

/// Point 50: the server sends the large replies before DISC completely, although the client reads slowly.
#[test]
fn disc_sends_replies_that_have_begun() {
    let server = Server::plugin("pattern", &["size=32M", "--limit", "cpu=60s"]);
    let mut dialog = Dialog::open(&server, Framing::Structured);
    for _ in 0..3 {
        dialog.send(0, command::READ, 0, 16 << 20);
    }
    dialog.send(0, command::DISC, 0, 0);
    for _ in 0..3 {
        let answer = dialog.receive();
        assert_eq!(answer.data[..16], [0u64, 8].map(u64::to_be_bytes).concat());
    }
    assert!(dialog.transmission.raw.is_closed());
    server.assert_serves();
}

/// Point 50: a write before DISC is done.
#[test]
fn disc_finishes_writes() {
    let disk = Disk::empty(1 << 20);
    let server = disk.serve();
    let mut dialog = Dialog::open(&server, Framing::Simple);
    let cookie = dialog.send_write(FUA, 0, &[5; 65_536]);
    dialog.send(0, command::DISC, 0, 0);
    let answer = dialog.receive();
    assert_eq!((answer.cookie, answer.error), (cookie, 0));
    assert!(dialog.transmission.raw.is_closed());
    assert_eq!(disk.bytes()[..65_536], [5; 65_536]);
}

/// Point 50: the server doesn't interpret bytes after DISC.
#[test]
fn nothing_follows_disc() {
    let server = Server::plugin("memory", &["size=1M"]);
    let mut dialog = Dialog::open(&server, Framing::Simple);
    dialog.send(0, command::DISC, 0, 0);
    // The server may have hung up.
    let _ = dialog.transmission.raw.try_send(&[0x25, 0x60, 0x95, 0x13]);
    assert!(dialog.transmission.raw.is_closed());
    server.assert_serves();
}

/// Point 51: the server finishes requests that are in flight when it stops. Later ones get ESHUTDOWN, or the connection
/// has ended.
#[test]
fn a_stopping_server_finishes_what_is_in_flight() {
    for framing in FRAMINGS {
        let server = slow("read", &[]);
        let mut dialog = Dialog::open(&server, framing);
        // The reply to the second request shows that the first is in flight.
        let slow = dialog.send(0, command::READ, SLOW, 512);
        let quick = dialog.send(0, command::READ, 0, 512);
        let first = dialog.receive();
        server.begin_to_stop();
        let second = dialog.receive();
        let cookies = HashSet::from([first.cookie, second.cookie]);
        assert_eq!(cookies, HashSet::from([slow, quick]));
        assert_eq!((first.error, second.error), (0, 0));
        let exit = server.stop();
        assert_eq!(exit.code, Some(0), "{}", exit.log);
    }
}

/// Point 51: requests that the server has received but not begun when it stops get ESHUTDOWN.
#[test]
fn a_waiting_request_gets_eshutdown() {
    let server = slow("read", &["--limit", "requests=1"]);
    let mut transmission = Raw::negotiating(&server).go("");
    // Sent in one piece, so a server that has answered the first has received all of them.
    let requests: Vec<u8> = (0..10)
        .flat_map(|cookie| read_request(cookie, SLOW))
        .collect();
    transmission.raw.send(&requests);
    assert_eq!(transmission.simple_reply(), (0, 0));
    let _ = transmission.raw.receive(512);
    server.begin_to_stop();
    let mut refused = 0;
    for cookie in 1..10 {
        let (error, answered) = transmission.simple_reply();
        assert_eq!(answered, cookie);
        match error {
            0 => assert_eq!(transmission.raw.receive(512), [0x42; 512]),
            error => assert_eq!(error, ESHUTDOWN),
        }
        refused += u32::from(error == ESHUTDOWN);
    }
    assert!(refused > 0, "nine slow requests, one at a time");
    assert!(transmission.raw.is_closed());
}

/// A compact request for 512 bytes.
fn read_request(cookie: u64, offset: u64) -> Vec<u8> {
    let mut bytes = REQUEST_MAGIC.to_be_bytes().to_vec();
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&cookie.to_be_bytes());
    bytes.extend_from_slice(&offset.to_be_bytes());
    bytes.extend_from_slice(&512u32.to_be_bytes());
    bytes
}

/// Point 51: an idle connection ends cleanly, and so does the server.
#[test]
fn an_idle_connection_ends_cleanly() {
    let server = Server::plugin("pattern", &["size=1M"]);
    let mut dialog = Dialog::open(&server, Framing::Structured);
    dialog.assert_in_step();
    server.begin_to_stop();
    assert!(dialog.transmission.raw.is_closed());
    let exit = server.stop();
    assert_eq!(exit.code, Some(0), "{}", exit.log);
}

/// Point 51: over TCP, too, a reply that is being sent arrives completely, although the server hasn't read all
/// requests. The kernel drops unsent bytes when a process closes a socket with unread ones.
#[test]
fn a_stopping_server_sends_replies_that_have_begun_over_tcp() {
    let limits = ["size=32M", "--limit", "cpu=60s,requests=1"];
    let server = Server::plugin_over_tcp("pattern", &limits);
    let mut raw = Raw::connect_tcp(server.port());
    raw.receive_little_ahead();
    let _ = raw.hello(3);
    let mut transmission = raw.go("");
    transmission.request(0, command::READ, 7, 0, 24 << 20);
    // More bytes than the server reads at once.
    let requests: Vec<u8> = (0..20_000)
        .flat_map(|cookie| read_request(cookie, 0))
        .collect();
    transmission.raw.send(&requests);
    assert_eq!(transmission.simple_reply(), (0, 7));
    server.begin_to_stop();
    let _ = transmission.raw.receive(22 << 20);
    // The kernel has the other requests. The server gets enough time to drop them.
    thread::sleep(Duration::from_millis(500));
    let rest = transmission.raw.receive(2 << 20);
    assert_eq!(rest[..8], (22u64 << 20).to_be_bytes());
}

/// Point 52: replies may overtake each other; each request has exactly one, and the right one.
#[test]
fn replies_belong_to_their_requests() {
    let server = Server::plugin("pattern", &["size=1M"]);
    for framing in FRAMINGS {
        let mut dialog = Dialog::open(&server, framing);
        let mut asked: Vec<(u64, u64)> = Vec::new();
        for at in 0..100u64 {
            let offset = at * 8;
            asked.push((dialog.send(0, command::READ, offset, 512), offset));
        }
        for _ in 0..asked.len() {
            let answer = dialog.receive();
            let at = asked
                .iter()
                .position(|(cookie, _)| *cookie == answer.cookie)
                .unwrap();
            let (_, offset) = asked.swap_remove(at);
            assert_eq!(answer.data[..8], offset.to_be_bytes());
        }
    }
}

/// Point 52: a quick request needn't wait for a slow one; the server answers both.
#[test]
fn slow_and_quick_requests_are_both_answered() {
    let server = slow("write", &[]);
    for framing in FRAMINGS {
        let mut dialog = Dialog::open(&server, framing);
        let slow = dialog.send_write(0, SLOW, &[1; 512]);
        let quick = dialog.send(0, command::READ, 0, 512);
        let cookies = [dialog.receive(), dialog.receive()].map(|answer| answer.cookie);
        assert!(cookies.contains(&slow) && cookies.contains(&quick));
    }
}

/// Point 52: ENOTSUP and EOVERFLOW are sent only where they're documented, whatever a plugin returns.
#[test]
fn undocumented_errors_are_replaced() {
    let enotsup = Errno::Enotsup.to_wire();
    for (call, request) in [
        ("read", command::READ),
        ("trim", command::TRIM),
        ("cache", command::CACHE),
        ("write", command::WRITE),
    ] {
        let bad = guest("bad").into_os_string();
        let server = Server::start([bad, format!("at={call}").into(), "do=enotsup".into()]);
        let mut dialog = Dialog::open(&server, Framing::Structured);
        let error = if request == command::WRITE {
            dialog.write(0, 0, &[1; 512])
        } else {
            dialog.ask(0, request, 0, 512).error
        };
        assert!(error != 0 && error != enotsup, "{call}");
    }
}

/// Point 52: a full disk is ENOSPC and not ENOMEM, although memory is missing.
#[test]
fn a_full_disk_is_enospc() {
    let server = Server::plugin("memory", &["size=64M", "--limit", "memory=8M"]);
    let mut dialog = Dialog::open(&server, Framing::Structured);
    let data = vec![1; 1 << 20];
    let errors: HashSet<u32> = (0..64).map(|at| dialog.write(0, at << 20, &data)).collect();
    assert_eq!(errors, HashSet::from([0, Errno::Enospc.to_wire()]));
    dialog.assert_in_step();
}
