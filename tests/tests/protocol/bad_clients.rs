//! Clients that misbehave, each next to one that doesn't. The neighbour's reads stay right, the server's memory stays
//! bounded, and the server still serves a new client afterwards.

use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use nbd_proto::wire::{command, option};
use nbdbox_tests::{Neighbour, Raw, Server, Transmission};

/// The bytes by which a server may grow during one of these attacks: the limits of some connections.
const BUDGET: u64 = 192 << 20;

/// The bytes that a server may still hold after an attack.
const LEFT: u64 = 64 << 20;

/// A server, and a neighbour at work.
struct Scene {
    server: Server,
    neighbour: Neighbour,
    before: u64,
}

impl Scene {
    fn new() -> Self {
        Self::with(&[])
    }

    fn with(options: &[&str]) -> Self {
        let plugin = nbdbox_tests::plugin("pattern")
            .to_string_lossy()
            .into_owned();
        let words = options.iter().copied().chain([plugin.as_str(), "size=1G"]);
        let server = Server::start(words);
        Self {
            neighbour: Neighbour::start(&server, ""),
            before: resident(server.serving_pid()),
            server,
        }
    }

    fn check_memory(&self) {
        let grown = resident(self.server.serving_pid()).saturating_sub(self.before);
        assert!(grown <= BUDGET, "the server grew by {grown} bytes");
    }

    /// The attack is over: everything must be as before.
    fn end(self) {
        self.neighbour.goes_on();
        self.check_memory();
        Neighbour::check_read(&mut connect(&self.server), 4096);
        self.neighbour.end();
        let mut server = self.server;
        assert!(server.is_alive());
        let exit = server.stop();
        assert_eq!(exit.code, Some(0), "{}", exit.log);
        assert!(!exit.log.contains("panicked"), "{}", exit.log);
    }
}

fn connect(server: &Server) -> Transmission {
    Neighbour::connect(server, "")
}

fn resident(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap();
    text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// It opens 300 connections and sends nothing. Result: closed at `handshake`; later clients get a turn.
#[test]
fn hundreds_of_idle_handshakes() {
    let scene = Scene::with(&["--limit", "handshake=1s,connections=64"]);
    let idle: Vec<Raw> = (0..300).map(|_| scene.server.connect()).collect();
    scene.neighbour.goes_on();
    // Later clients get their turn when the idle ones have run out of time.
    Neighbour::check_read(&mut connect(&scene.server), 0);
    drop(idle);
    scene.end();
}

/// It reads 4 MiB on each of 200 connections, then idles. Result: gets answers; the server releases its spare buffers.
#[test]
fn large_reads_on_many_connections_that_then_idle() {
    const LARGE: u32 = 4 << 20;
    let scene = Scene::new();
    let idle: Vec<Transmission> = (0..200)
        .map(|cookie| {
            let mut client = connect(&scene.server);
            client.request(0, command::READ, cookie, 0, LARGE);
            assert_eq!(client.simple_reply(), (0, cookie));
            assert_eq!(client.raw.receive(LARGE as usize).len(), LARGE as usize);
            client
        })
        .collect();
    // Kept, they would be 800 MiB. A minute is much longer than the server keeps anything.
    let rests = (0..600).any(|_| {
        thread::sleep(Duration::from_millis(100));
        resident(scene.server.serving_pid()).saturating_sub(scene.before) <= LEFT
    });
    let left = resident(scene.server.serving_pid()).saturating_sub(scene.before);
    assert!(rests, "{left} bytes are left");
    drop(idle);
    scene.end();
}

/// It sends its handshake a byte at a time. Result: closed at `handshake`.
#[test]
fn a_handshake_of_one_byte_at_a_time_runs_out_of_time() {
    let scene = Scene::with(&["--limit", "handshake=1s"]);
    let mut slow = scene.server.connect();
    let _flags = slow.hello(3);
    let closed = (0..200).any(|_| {
        thread::sleep(Duration::from_millis(20));
        slow.try_send(b"I").is_err()
    });
    assert!(closed);
    scene.end();
}

/// It announces options of 4 GiB and sends them. Result: closed; the server keeps nothing of it.
#[test]
fn option_lengths_of_4_gib() {
    let scene = Scene::new();
    for number in [option::GO, option::LIST, option::SET_META_CONTEXT, 0xffff] {
        let mut raw = scene.server.connect();
        let _flags = raw.hello(3);
        raw.option_header(number, u32::MAX);
        // The server may hang up before it has read any of this.
        let garbage = vec![0xaa; 1 << 20];
        for _ in 0..64 {
            if raw.try_send(&garbage).is_err() {
                break;
            }
        }
        scene.check_memory();
    }
    scene.end();
}

/// It sends 10,000 options in a row. Result: gets an answer to each.
#[test]
fn ten_thousand_options_in_a_row() {
    let scene = Scene::new();
    let mut raw = scene.server.connect();
    let _flags = raw.hello(3);
    for _ in 0..10_000 {
        raw.option(option::INFO, &Raw::info_data("nothing", &[]));
        let replies = raw.option_replies(option::INFO);
        assert_eq!(replies.len(), 1);
    }
    scene.end();
}

/// It sends options endlessly and reads no reply. Result: the server stops reading until the client reads.
#[test]
fn options_without_reading_a_reply() {
    let scene = Scene::new();
    let raw = scene.server.connect();
    let mut raw = raw;
    let _flags = raw.hello(3);
    raw.set_write_timeout(Duration::from_millis(300));
    let mut option = Vec::new();
    nbd_proto::client::push_option(option::LIST, &[], &mut option);
    let flood = option.repeat(1000);
    // Until the socket is full, or the server stops reading.
    for _ in 0..1000 {
        if raw.try_send(&flood).is_err() {
            break;
        }
    }
    scene.check_memory();
    scene.end();
}

/// It sends garbage before and after GO. Result: closed.
#[test]
fn floods_of_garbage_before_and_after_go() {
    let scene = Scene::new();
    for _ in 0..50 {
        let mut raw = scene.server.connect();
        // The server may hang up at any moment.
        let _ = raw.try_send(&[0x5a; 100_000]);
        let mut client = connect(&scene.server);
        let _ = client.raw.try_send(&[0xa5; 100_000]);
    }
    scene.end();
}

/// It cuts a request off, at each byte. Result: closed.
#[test]
fn requests_cut_at_each_byte() {
    let scene = Scene::new();
    let mut request = nbd_proto::wire::REQUEST_MAGIC.to_be_bytes().to_vec();
    request.extend_from_slice(&[0; 24]);
    for length in 0..request.len() {
        let mut client = connect(&scene.server);
        client.raw.send(&request[..length]);
        client.raw.finish_sending();
        assert!(client.raw.is_closed(), "cut at {length}");
    }
    scene.end();
}

/// It cuts its handshake off, at each byte. Result: closed.
#[test]
fn handshakes_cut_at_each_byte() {
    let scene = Scene::new();
    let mut bytes = 3u32.to_be_bytes().to_vec();
    nbd_proto::client::push_option(option::LIST, &[], &mut bytes);
    nbd_proto::client::push_option(option::GO, &Raw::info_data("", &[]), &mut bytes);
    for length in 0..bytes.len() {
        let mut raw = scene.server.connect();
        raw.send(&bytes[..length]);
        raw.finish_sending();
        drop(raw);
    }
    scene.end();
}

/// It cuts a write off in its payload. Result: closed; the server writes nothing of it.
#[test]
fn writes_cut_in_their_payload() {
    let server = Server::plugin("memory", &["size=1M"]);
    for length in [0, 1, 511, 4095] {
        let mut client = connect(&server);
        client.request(0, command::WRITE, 1, 0, 4096);
        client.raw.send(&vec![0xee; length]);
        client.raw.finish_sending();
        assert!(client.raw.is_closed(), "cut at {length}");
    }
    let mut client = connect(&server);
    client.request(0, command::READ, 1, 0, 4096);
    assert_eq!(client.simple_reply(), (0, 1));
    assert_eq!(
        client.raw.receive(4096),
        vec![0; 4096],
        "nothing of them was written"
    );
}

/// It reads 32 GB but takes no reply. Result: at most 64 MiB in flight until it takes replies.
#[test]
fn a_client_that_asks_for_gigabytes_and_never_reads() {
    let scene = Scene::new();
    let mut greedy: Vec<Transmission> = (0..4).map(|_| connect(&scene.server)).collect();
    for client in &mut greedy {
        client.raw.set_write_timeout(Duration::from_millis(300));
        let mut request = nbd_proto::wire::REQUEST_MAGIC.to_be_bytes().to_vec();
        request.extend_from_slice(&[0; 20]);
        request.extend_from_slice(&(32u32 << 20).to_be_bytes());
        // 1000 reads of 32 MiB, or as many as the socket takes.
        let _ = client.raw.try_send(&request.repeat(1000));
    }
    thread::sleep(Duration::from_millis(500));
    let grown = resident(scene.server.serving_pid()).saturating_sub(scene.before);
    // 64 MiB in flight for each of the four, and the memory that the allocator keeps.
    assert!(
        grown <= 4 * (64 << 20) + BUDGET,
        "the server grew by {grown} bytes"
    );
    scene.neighbour.goes_on();
    drop(greedy);
    scene.neighbour.goes_on();
    scene.neighbour.end();
}

/// It connects 3,000 times and disconnects. Result: accepted and forgotten.
#[test]
fn thousands_of_connects() {
    let scene = Scene::new();
    for _ in 0..3000 {
        drop(UnixStream::connect(scene.server.socket()).unwrap());
    }
    scene.end();
}

/// It hangs up in each state of a connection. Result: the server finishes what it began, then forgets it.
#[test]
fn closing_in_every_state() {
    let scene = Scene::new();
    for _ in 0..20 {
        let _unread_hello = scene.server.connect();
        let mut hello = scene.server.connect();
        let _flags = hello.hello(3);
        let mut asked = scene.server.connect();
        let _flags = asked.hello(3);
        asked.option(option::LIST, &[]);
        let mut requested = connect(&scene.server);
        requested.request(0, command::READ, 1, 0, 1 << 20);
        let mut disconnected = connect(&scene.server);
        disconnected.request(0, command::READ, 1, 0, 1 << 20);
        disconnected.request(0, command::DISC, 2, 0, 0);
    }
    scene.end();
}
