//! A client that minds its own business while another one, or another plugin, misbehaves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nbd_proto::wire::command;

use crate::{Server, Transmission};

/// Bytes of the disk that it reads.
const SIZE: u64 = 1 << 30;

/// Bytes of a read.
const LENGTH: u32 = 4096;

/// Reads an export of `pattern` with 1 GiB, all over, and looks at every byte.
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

    /// Waits until it has read a few times more.
    ///
    /// # Panics
    /// One of its reads was wrong.
    pub fn goes_on(&self) {
        let before = self.reads.load(Ordering::Relaxed);
        while self.reads.load(Ordering::Relaxed) < before + 5 {
            assert!(!self.thread.is_finished(), "the neighbour's client failed");
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// It ends.
    ///
    /// # Panics
    /// One of its reads was wrong.
    pub fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.join();
        ended.expect("every read of the neighbour was right");
    }

    /// Another client of its kind.
    #[must_use]
    pub fn connect(server: &Server, export: &str) -> Transmission {
        let mut raw = server.connect();
        let _flags = raw.hello(3);
        raw.go(export)
    }

    /// One read of such a client.
    ///
    /// # Panics
    /// It isn't right.
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
