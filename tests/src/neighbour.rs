//! A well-behaved client, which reads while another client or a plugin misbehaves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nbd_proto::wire::command;

use crate::{Server, Transmission};

/// The size of the disk that it reads, in bytes.
const SIZE: u64 = 1 << 30;

/// The bytes of one read.
const LENGTH: u32 = 4096;

/// A client that reads an export of `pattern` with 1 GiB at many offsets, and checks every byte.
#[derive(Debug)]
pub struct Neighbour {
    stop: Arc<AtomicBool>,
    reads: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Neighbour {
    /// Connects to an export, and begins to read.
    #[must_use]
    pub fn start(server: &Server, export: &str) -> Self {
        let (stop, reads) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let mut client = Self::connect(server, export);
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&reads));
        let thread = thread::spawn(move || {
            let mut offset = 0;
            while !stopped.load(Ordering::Relaxed) {
                Self::check_read(&mut client, offset);
                count.fetch_add(1, Ordering::Relaxed);
                offset = (offset + u64::from(LENGTH) * 1021) % (SIZE - u64::from(LENGTH));
            }
        });
        let neighbour = Self {
            stop,
            reads,
            thread,
        };
        neighbour.goes_on();
        neighbour
    }

    /// Waits until the client has read a few more times.
    ///
    /// # Panics
    /// A read was wrong.
    pub fn goes_on(&self) {
        let before = self.reads.load(Ordering::Relaxed);
        while self.reads.load(Ordering::Relaxed) < before + 5 {
            assert!(!self.thread.is_finished(), "the neighbour's client failed");
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Ends the client.
    ///
    /// # Panics
    /// A read was wrong.
    pub fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.join();
        ended.expect("every read of the neighbour was right");
    }

    /// Connects another client of the same kind.
    #[must_use]
    pub fn connect(server: &Server, export: &str) -> Transmission {
        let mut raw = server.connect();
        let _flags = raw.hello(3);
        raw.go(export)
    }

    /// Makes one read of such a client.
    ///
    /// # Panics
    /// The read is wrong.
    pub fn check_read(client: &mut Transmission, offset: u64) {
        client.request(0, command::READ, offset, offset, LENGTH);
        assert_eq!(client.simple_reply(), (0, offset));
        let expected: Vec<u8> = (offset..offset + u64::from(LENGTH))
            .step_by(8)
            .flat_map(u64::to_be_bytes)
            .collect();
        assert_eq!(client.raw.receive(LENGTH as usize), expected);
    }
}
