//! Replies that wait for bytes of a file, and the threads that wait for them.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use device::reply::ReadReply;
use tokio::sync::oneshot;

use crate::error::BlobError;

/// Replies for which one thread waits, before there is another.
const PER_THREAD: usize = 32;

/// The most threads that wait for one file.
const THREADS: usize = 4;

/// What comes of a reply.
pub(super) type Outcome = Result<Box<ReadReply>, BlobError>;

/// A reply that lacks bytes.
#[derive(Debug)]
pub(super) struct PartialReply {
    /// The reply so far.
    pub(super) reply: Box<ReadReply>,
    /// Its reads before this one are done.
    pub(super) next: usize,
    /// Bytes of this one that are there.
    pub(super) got: usize,
}

/// A reply that waits for the disk, and the one who waits for it.
#[derive(Debug)]
pub(super) struct ColdRead {
    pub(super) reply: PartialReply,
    pub(super) waiter: oneshot::Sender<Outcome>,
}

/// The replies that wait for one file, first come first.
#[derive(Debug, Default)]
pub(super) struct ColdReads {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<ColdRead>,
    /// Threads that go through the queue.
    threads: usize,
}

impl ColdReads {
    /// Adds one. Whether one more thread is to go through the queue, until [`pop`](Self::pop) has none.
    pub(super) fn push(&self, read: ColdRead) -> bool {
        let mut state = self.state();
        state.queue.push_back(read);
        let wanted = state.threads < THREADS && state.queue.len() > state.threads * PER_THREAD;
        state.threads += usize::from(wanted);
        wanted
    }

    /// The next one. Where there is none the thread ends.
    pub(super) fn pop(&self) -> Option<ColdRead> {
        let mut state = self.state();
        let next = state.queue.pop_front();
        state.threads -= usize::from(next.is_none());
        next
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that holds the lock panics.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read() -> ColdRead {
        let reply = PartialReply {
            reply: Box::default(),
            next: 0,
            got: 0,
        };
        let (waiter, _) = oneshot::channel();
        ColdRead { reply, waiter }
    }

    #[test]
    fn threads_come_with_work_and_go_without_it() {
        let reads = ColdReads::default();
        let started = (0..100).filter(|_| reads.push(read())).count();
        assert_eq!(started, THREADS);
        for _ in 0..100 {
            assert!(reads.pop().is_some());
        }
        for _ in 0..THREADS {
            assert!(reads.pop().is_none());
        }
        assert!(reads.push(read()), "the first one starts a thread again");
        assert!(!reads.push(read()), "which does for the next ones too");
    }
}
