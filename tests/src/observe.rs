//! What a test can observe of a running server from outside, and the signals that it can send.

use std::fs;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::sockopt;
use rustix::process::{self, Pid, PidfdFlags, PidfdGetfdFlags, Signal};

use crate::{Raw, Server};

/// Enough for the slowest machine: a test that waits longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);

impl Server {
    /// The most memory that the server has used so far, in bytes.
    #[must_use]
    pub fn peak_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.serving_pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kibibytes = line.unwrap().trim().trim_end_matches(" kB");
        kibibytes.parse::<u64>().unwrap() * 1024
    }

    /// The TCP port on which the server listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        let log = self.log();
        let (_, rest) = log.split_once("listening on 127.0.0.1 port ").unwrap();
        let digits = rest.split(|letter: char| !letter.is_ascii_digit()).next();
        digits.unwrap().parse().unwrap()
    }

    /// Sends SIGTERM, and waits until the server takes no new client. It may still serve those that are connected.
    pub fn begin_to_stop(&self) {
        process::kill_process(self.process(), Signal::TERM).unwrap();
        let start = Instant::now();
        while self.listens() {
            assert!(start.elapsed() < PATIENCE, "it goes on:\n{}", self.log());
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Whether the server has set TCP_NODELAY on its end of a connection.
    #[must_use]
    pub fn has_no_delay(&self, client: &Raw) -> bool {
        let pidfd = process::pidfd_open(pid_of(self.serving_pid()), PidfdFlags::empty()).unwrap();
        let numbers = fs::read_dir(format!("/proc/{}/fd", self.serving_pid())).unwrap();
        let sockets = numbers.filter_map(|entry| {
            let path = entry.unwrap().path();
            is_socket(&path).then(|| path.file_name().unwrap().to_str().unwrap().parse().unwrap())
        });
        let mut copies =
            sockets.map(|fd| process::pidfd_getfd(&pidfd, fd, PidfdGetfdFlags::empty()).unwrap());
        let end = copies.find(|copy| peer_port(copy) == client.local_port());
        sockopt::tcp_nodelay(end.expect("the server has an end of the connection")).unwrap()
    }

    fn process(&self) -> Pid {
        pid_of(self.pid())
    }

    fn listens(&self) -> bool {
        if self.socket().exists() {
            return true;
        }
        let over_tcp = self.log().contains("listening on 127.0.0.1 port ");
        over_tcp && TcpStream::connect(("127.0.0.1", self.port())).is_ok()
    }
}

fn pid_of(id: u32) -> Pid {
    Pid::from_raw(i32::try_from(id).unwrap()).unwrap()
}

fn is_socket(path: &Path) -> bool {
    fs::read_link(path).is_ok_and(|target| target.to_string_lossy().starts_with("socket:"))
}

/// The port at the other end of a TCP connection; `None` for any other socket.
fn peer_port(socket: &OwnedFd) -> Option<u16> {
    let stream = TcpStream::from(socket.try_clone().unwrap());
    stream.peer_addr().ok().map(|address| address.port())
}
