//! The log makes nobody wait and fills no disk, with a standard error that nobody reads, and with lines without end.

use std::io::{PipeReader, Read as _, Write as _};
use std::thread;
use std::time::{Duration, Instant};

use nbd_proto::wire::command;
use nbdbox_tests::admin::{get, sample};
use nbdbox_tests::{Raw, Server, Transmission, guest, run};

/// Enough for the slowest machine: a test that waits longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// A full pipe: a writer waits until somebody reads.
fn full_pipe() -> (PipeReader, std::io::PipeWriter) {
    let (reader, writer) = std::io::pipe().unwrap();
    rustix::io::ioctl_fionbio(&writer, true).unwrap();
    // Fills whole pages first, and then the rest of the last one.
    for piece in [4096, 1] {
        while (&writer).write(&vec![b'.'; piece]).is_ok() {}
    }
    rustix::io::ioctl_fionbio(&writer, false).unwrap();
    (reader, writer)
}

/// Reads at 512 that log several times more than the queue and the pipe hold.
const READS: usize = 24;

/// A plugin that logs ten thousand lines in a read at 512.
fn talkative(log: std::io::PipeWriter) -> Server {
    let folder = tempfile::tempdir().unwrap().keep();
    let admin = folder.join("admin");
    let plugin = guest("bad").to_string_lossy().into_owned();
    Server::logging_to(
        log,
        &[
            "--admin",
            admin.to_str().unwrap(),
            "--limit",
            "log=1G,cpu=20s,wall=10min",
            &plugin,
            "at=read",
            "do=log",
            "offset=512",
            "mode=parallel",
        ],
    )
}

fn connect(server: &Server) -> Transmission {
    let mut raw = server.connect();
    let _flags = raw.hello(3);
    raw.go("")
}

fn read(client: &mut Transmission, offset: u64) {
    client.request(0, command::READ, offset, offset, 1);
    assert_eq!(client.simple_reply(), (0, offset));
    let _byte = client.raw.receive(1);
}

/// Nobody reads the log: the server still serves other clients, and obeys SIGTERM.
#[test]
fn a_log_that_nobody_reads_keeps_nobody_waiting() {
    let (_unread, full) = full_pipe();
    let server = talkative(full);
    let mut talker = connect(&server);
    for _ in 0..READS {
        read(&mut talker, 512);
    }
    let mut neighbour = connect(&server);
    for _ in 0..100 {
        read(&mut neighbour, 0);
    }
    let exit = server.stop();
    assert_eq!(exit.code, Some(0));
}

/// When somebody reads the log again, it goes on, and reports how many lines are missing.
#[test]
fn a_log_that_is_read_again_says_what_was_dropped() {
    let (mut reader, full) = full_pipe();
    let server = talkative(full);
    let mut talker = connect(&server);
    for _ in 0..READS {
        read(&mut talker, 512);
    }
    let text = thread::spawn(move || {
        let mut text = Vec::new();
        reader.read_to_end(&mut text).unwrap();
        String::from_utf8_lossy(&text).into_owned()
    });
    read(&mut talker, 0);
    assert_eq!(server.stop().code, Some(0));
    let text = text.join().unwrap();
    assert!(text.contains("they couldn't be written as fast as they came"));
    assert!(
        text.contains("nbdbox::service: stopping"),
        "the last line of the log"
    );
}

/// A process that fails to start prints the reason if somebody reads it, and ends in any case.
#[test]
fn an_error_at_the_start_is_written_or_given_up() {
    let failing = ["serve", "-U", "-", "/nonexistent.wasm"];
    let read = run(nbdbox_tests::nbdbox(), failing);
    assert_eq!(read.code, 1);
    assert!(read.stderr.contains("nonexistent.wasm"), "{}", read.stderr);
    let (_unread, full) = full_pipe();
    let mut unread = std::process::Command::new(nbdbox_tests::nbdbox());
    let mut unread = unread.args(failing).stderr(full).spawn().unwrap();
    let start = Instant::now();
    let status = loop {
        if let Some(status) = unread.try_wait().unwrap() {
            break status;
        }
        assert!(start.elapsed() < PATIENCE, "the server waits for a reader");
        thread::sleep(Duration::from_millis(5));
    };
    assert_eq!(status.code(), Some(1));
}

/// Waits until the log has these words, and returns the log.
fn log_with(server: &Server, words: &str) -> String {
    let start = Instant::now();
    loop {
        let log = server.log();
        if log.contains(words) {
            return log;
        }
        assert!(
            start.elapsed() < PATIENCE,
            "no {words}: {} bytes",
            log.len()
        );
        thread::sleep(Duration::from_millis(20));
    }
}

/// The message that the server logs at the end of a period.
const TOLD: &str = "more lines about it were dropped";

/// The number of dropped lines that one line reports.
fn told(log: &str) -> usize {
    let line = log.lines().find(|line| line.contains(TOLD)).unwrap();
    let number = line.split("lines=").nth(1).unwrap();
    number.split(' ').next().unwrap().trim().parse().unwrap()
}

/// A plugin whose every reply is wrong, and a client that reads without end.
#[test]
fn lines_about_an_export_have_a_rate_whatever_they_say() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("admin");
    let bad = guest("bad").to_string_lossy().into_owned();
    let server = Server::start([
        "--admin",
        socket.to_str().unwrap(),
        &bad,
        "at=read",
        "do=short",
        "offset=512",
        "mode=parallel",
    ]);
    let mut client = connect(&server);
    let reads: usize = 2000;
    for cookie in 0..reads as u64 {
        client.request(0, command::READ, cookie, 512, 1);
        assert_ne!(client.simple_reply(), (0, cookie));
    }
    let log = log_with(&server, TOLD);
    let about = log
        .lines()
        .filter(|line| line.contains("export=\"\"") && !line.contains(TOLD));
    let about = about.count();
    assert!((200..reads / 2).contains(&about), "{about} lines");
    assert!(told(&log) > reads / 2, "{}", told(&log));
    let text = run(
        "curl",
        [
            "-s",
            "--unix-socket",
            socket.to_str().unwrap(),
            "http://localhost/metrics",
        ],
    );
    let dropped = sample(
        &text.ok(),
        "nbdbox_log_dropped_total",
        &[("reason", "rate")],
    );
    assert!(dropped.unwrap() >= told(&log) as f64);
}

/// Clients that come and go at one listener; the lines about another listener are all there.
#[test]
fn lines_about_strangers_have_a_rate_for_each_listener() {
    let listener =
        |name: &str| format!("[[listener]]\nname = \"{name}\"\nunix = \"FOLDER/{name}\"\n");
    let config = [
        nbdbox_tests::admin::ADMIN.to_owned(),
        listener("quiet"),
        nbdbox_tests::tenancy::tenant("loud", ""),
        nbdbox_tests::tenancy::export("loud", "disk", "pattern", "settings = { size = \"1M\" }"),
    ];
    let server = Server::hosting(&config.concat());
    for _ in 0..1000 {
        drop(Raw::connect(&server.folder().join("loud")));
    }
    for _ in 0..3 {
        let mut raw = Raw::connect(&server.folder().join("quiet"));
        let _flags = raw.hello(3);
        drop(raw);
    }
    let log = log_with(&server, TOLD);
    let of = |name: &str| {
        let field = format!("listener=\"{name}\"");
        log.lines()
            .filter(|line| line.contains(&field) && !line.contains(TOLD))
            .count()
    };
    assert!((200..1000).contains(&of("loud")), "{} lines", of("loud"));
    assert!(of("quiet") >= 3, "{log}");
    let dropped = sample(
        &get(&server, "/metrics"),
        "nbdbox_log_dropped_total",
        &[("reason", "rate")],
    );
    assert!(dropped.unwrap() > 0.0);
}

/// A neighbour whose plugin logs little loses none of its lines to a plugin that logs much.
#[test]
fn one_exports_lines_do_not_cost_anothers() {
    let config = [
        nbdbox_tests::tenancy::tenant("alice", ""),
        nbdbox_tests::tenancy::export(
            "alice",
            "disk",
            "bad",
            "settings = { at = \"read\", do = \"short\", offset = 512, mode = \"parallel\" }",
        ),
        nbdbox_tests::tenancy::tenant("mallory", ""),
        nbdbox_tests::tenancy::export(
            "mallory",
            "disk",
            "bad",
            "settings = { at = \"read\", do = \"short\", offset = 512, mode = \"parallel\" }",
        ),
    ];
    let server = Server::hosting(&config.concat());
    let connect = |tenant: &str| {
        let mut raw = Raw::connect(&server.folder().join(tenant));
        let _flags = raw.hello(3);
        raw.go("disk")
    };
    let mut loud = connect("mallory");
    for cookie in 0..1000 {
        loud.request(0, command::READ, cookie, 512, 1);
        let _ = loud.simple_reply();
    }
    let mut quiet = connect("alice");
    quiet.request(0, command::READ, 1, 512, 1);
    let _ = quiet.simple_reply();
    let log = server.stop().log;
    let alices = log
        .lines()
        .filter(|line| line.contains("WARN") && line.contains("tenant=\"alice\""));
    assert_eq!(alices.count(), 1, "{log}");
}
