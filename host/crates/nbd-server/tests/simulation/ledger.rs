//! The notes of a schedule, in the order of events: requests, calls of the disk, replies, ends.
//!
//! Each note has a number, its tick. The oracle orders reads and writes by ticks. The digest of all notes is the same
//! for the same seed.

use std::fmt::Arguments;
use std::sync::{Mutex, MutexGuard, PoisonError};

use device::fault::Failure;
use nbd_proto::wire::command;
use nbd_proto::{Descriptor, Errno};
use nbd_server::End;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::history::History;
use crate::requests::Asked;
use crate::schedule::Schedule;

/// The notes of one schedule.
pub(crate) struct Ledger {
    pages: Mutex<Pages>,
    /// Notified when the first client has sent the bytes that [`When::Sent`](crate::schedule::When) waits for.
    pub(crate) has_sent: Notify,
}

pub(crate) struct Pages {
    start: Instant,
    /// Whether each note is printed.
    verbose: bool,
    tick: u64,
    pub(crate) digest: u64,
    /// One for each client.
    pub(crate) books: Vec<Book>,
    pub(crate) history: History,
    /// The ticks at which the disk lost changes that it had answered.
    pub(crate) losses: Vec<u64>,
    /// The moment when the server stopped, and its tick.
    pub(crate) stopped: Option<Instant>,
    pub(crate) stopped_tick: Option<u64>,
}

/// The notes about one client.
#[derive(Default)]
pub(crate) struct Book {
    pub(crate) entries: Vec<Entry>,
    pub(crate) arrived: Option<Instant>,
    /// The tick at which it got through the handshake.
    pub(crate) connected: Option<u64>,
    /// Bytes that it sent, and bytes that it received after the handshake.
    pub(crate) sent: u64,
    pub(crate) heard: usize,
    /// When it sent its last byte.
    pub(crate) last_sent: Option<Instant>,
    /// It sent a whole DISC.
    pub(crate) disconnected: bool,
    /// It sent bytes that are no request.
    pub(crate) sent_nonsense: bool,
    /// It closed its sending side, or the whole stream.
    pub(crate) parted: Option<Parted>,
    /// It read to the end of the stream.
    pub(crate) read_all: Option<ReadAll>,
    /// The world is about to drop its connection.
    pub(crate) cut: bool,
    /// How its connection ended.
    pub(crate) ended: Option<(Instant, Ended)>,
    /// Guests that the export keeps for it.
    pub(crate) guests: u32,
    /// How often `leave` began for it, and how often it ended.
    pub(crate) leaves: (u32, u32),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Parted {
    pub(crate) at: Instant,
    /// It still reads.
    pub(crate) half: bool,
    /// It had sent a part of a message.
    pub(crate) midway: bool,
}

/// The end of the stream, as a client found it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadAll {
    pub(crate) at: Instant,
    /// The stream ended in the middle of a reply.
    pub(crate) torn: bool,
}

/// How the server's task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    So(End),
    /// The socket failed.
    Failed,
    /// It was dropped, because it didn't end within the drain time.
    Cut,
}

/// A request and its fate.
pub(crate) struct Entry {
    pub(crate) asked: Asked,
    /// The tick and the moment before its first byte.
    pub(crate) begun: u64,
    pub(crate) begun_at: Instant,
    /// The moments when its header and its last byte were sent.
    pub(crate) header_sent: Option<Instant>,
    pub(crate) whole_sent: Option<Instant>,
    /// The index of its change in the history.
    pub(crate) change: Option<usize>,
    /// Calls of the disk for it.
    pub(crate) calls: Vec<Call>,
    /// The chunks of its reply that the client has received.
    pub(crate) data: Vec<(u64, Vec<u8>)>,
    pub(crate) descriptors: Vec<Descriptor>,
    pub(crate) answer: Option<Answer>,
}

/// The answer to a request whose last chunk was received.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) tick: u64,
    pub(crate) at: Instant,
    pub(crate) result: Result<(), Errno>,
}

/// One call of the disk.
pub(crate) struct Call {
    pub(crate) begun: Instant,
    /// Bytes that it covers.
    pub(crate) length: u64,
    /// The moment when its last wait for storage ended.
    pub(crate) stood_still: Option<Instant>,
    /// Its end and its result. `None` if its future was dropped.
    pub(crate) ended: Option<(Instant, Result<(), Failure>)>,
}

impl Ledger {
    pub(crate) fn new(schedule: &Schedule, verbose: bool) -> Self {
        let pages = Pages {
            start: Instant::now(),
            verbose,
            tick: 0,
            digest: 0,
            books: schedule.clients.iter().map(|_| Book::default()).collect(),
            history: History::default(),
            losses: Vec::new(),
            stopped: None,
            stopped_tick: None,
        };
        Self {
            pages: Mutex::new(pages),
            has_sent: Notify::new(),
        }
    }

    pub(crate) fn open(&self) -> MutexGuard<'_, Pages> {
        // A panic is reported once. Values that are dropped after it use the ledger too.
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pages {
    /// Notes an event. Returns its tick.
    pub(crate) fn note(&mut self, who: &str, what: Arguments<'_>) -> u64 {
        let time = self.start.elapsed();
        self.tick += 1;
        let line = format!("{:>14.6} {who}: {what}", time.as_secs_f64());
        if self.verbose {
            eprintln!("{line}");
        }
        // FNV-1a (Fowler, Noll, Vo).
        for byte in line.bytes() {
            self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self.tick
    }

    /// Notes an event of a client or its connection. Returns its tick.
    pub(crate) fn note_of(&mut self, client: usize, what: Arguments<'_>) -> u64 {
        self.note(&format!("client {client}"), what)
    }
}

impl Book {
    /// The number of requests without an answer.
    pub(crate) fn outstanding(&self) -> usize {
        self.entries
            .iter()
            .filter(|entry| entry.answer.is_none())
            .count()
    }
}

impl Entry {
    /// The moment of its first call, or of its answer if there was no call.
    pub(crate) fn taken(&self) -> Option<Instant> {
        let call = self.calls.first().map(|call| call.begun);
        call.or(self.answer.map(|answer| answer.at))
    }

    /// Whether a call for it is under way.
    pub(crate) fn is_under_way(&self) -> bool {
        self.calls.last().is_some_and(|call| call.ended.is_none())
    }

    /// The bytes of its payload, or of its reply.
    pub(crate) fn weight(&self) -> u64 {
        match self.asked.meant.kind {
            command::READ | command::WRITE => self.asked.meant.length,
            _ => 0,
        }
    }
}
