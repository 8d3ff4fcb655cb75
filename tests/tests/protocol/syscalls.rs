//! The number of system calls that 64 pipelined reads cost the server, as strace counts them. It doesn't measure their
//! time, so the number means the same on every machine.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use nbd_client::Client as Connected;
use nbd_proto::client::Request;
use nbd_proto::{Cookie, Framing};
use nbdbox_tests::{Client, Server, Strace};

/// The requests that are sent at once.
const DEPTH: usize = 64;

/// Short enough that all replies fit into a socket's buffer.
const LENGTH: u32 = 1024;

/// The bytes of the header of a structured reply with one data chunk.
const HEADER: usize = 28;

/// The rounds that the test counts.
const ROUNDS: usize = 200;

/// A read that gets all requests, two writes that each send half of the replies, and a wait for the next round,
/// sometimes with a wake-up of the thread that waits. The measured average is 4.3.
const MOST: usize = 6;

/// All calls by which a server moves bytes, waits, or wakes a thread. The sleep of the epoch's clock doesn't belong to
/// a request.
const CALLS: &str = "read,write,readv,writev,recvfrom,recvmsg,sendto,sendmsg,preadv2,pread64,\
                     epoll_wait,epoll_pwait,epoll_pwait2,epoll_ctl,futex,mmap,munmap,madvise,\
                     mprotect,clock_gettime,sched_yield";

/// Enough for the slowest machine: a test that waits longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn pipelined_reads_share_their_system_calls() {
    let server = Server::plugin("pattern", &["size=1M"]);
    let mut stream = connect(&server);
    let mut requests = Vec::new();
    for index in 0..DEPTH as u64 {
        Request::read(Cookie(index), index * 12_288, LENGTH)
            .encode(Framing::Structured, &mut requests)
            .unwrap();
    }
    let mut replies = vec![0; DEPTH * (HEADER + LENGTH as usize)];
    let mut round = || {
        stream.write_all(&requests).unwrap();
        stream.read_exact(&mut replies).unwrap();
    };
    (0..20).for_each(|_| round());

    let strace = Strace::attach(&server, CALLS);
    (0..ROUNDS).for_each(|_| round());
    let log = strace.detach();

    // One call has two lines if another thread's call came in between.
    let calls = log
        .lines()
        .filter(|line| !line.contains(" resumed>"))
        .count();
    assert!(calls >= 2 * ROUNDS, "strace saw {calls} calls:\n{log}");
    assert!(
        calls <= MOST * ROUNDS,
        "{calls} system calls in {ROUNDS} rounds, of which:\n{}",
        log.lines().take(100).collect::<Vec<_>>().join("\n")
    );
}

#[test]
fn a_server_that_has_nothing_to_do_sleeps() {
    let server = Server::plugin("pattern", &["size=1M"]);
    let mut client = Client::connect(&server.socket(), Framing::Structured);
    let start = Instant::now();
    for _ in 0..2 {
        client.read(0, LENGTH).unwrap();
        // A clock that ticks every millisecond would always make dozens of switches in this time.
        let mut before = u64::MAX;
        loop {
            let now = switches(&server);
            if now == before {
                break;
            }
            assert!(
                start.elapsed() < PATIENCE,
                "the server is still busy: {now} switches"
            );
            before = now;
            thread::sleep(Duration::from_millis(100));
        }
    }
}

/// The number of times that threads of the server have gone to sleep.
fn switches(server: &Server) -> u64 {
    let threads = std::fs::read_dir(format!("/proc/{}/task", server.serving_pid())).unwrap();
    let of_thread = |folder: std::path::PathBuf| {
        // A thread may end meanwhile.
        let status = std::fs::read_to_string(folder.join("status")).unwrap_or_default();
        let mut lines = status.lines();
        let count = lines.find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        count.map_or(0, |count| count.trim().parse().unwrap())
    };
    threads
        .map(|thread| of_thread(thread.unwrap().path()))
        .sum()
}

fn connect(server: &Server) -> UnixStream {
    let stream = UnixStream::connect(server.socket()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    Connected::blocking_negotiate(&stream, "", Framing::Structured).unwrap();
    stream
}
