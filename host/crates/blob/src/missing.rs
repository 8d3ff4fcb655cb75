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
pub(super) type Fulfilled = Result<Box<ReadReply>, BlobError>;

/// A reply that lacks bytes.
#[derive(Debug)]
pub(super) struct Unfinished {
    /// The reply so far.
    pub(super) reply: Box<ReadReply>,
    /// Its reads before this one are done.
    pub(super) next: usize,
    /// Bytes of this one that are there.
    pub(super) got: usize,
}

/// An unfinished reply, and who wants it.
#[derive(Debug)]
pub(super) struct Awaited {
    pub(super) unfinished: Unfinished,
    pub(super) asker: oneshot::Sender<Fulfilled>,
}

/// The replies that wait for one file, first come first.
#[derive(Debug, Default)]
pub(super) struct Missing {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Awaited>,
    /// Threads that go through the queue.
    threads: usize,
}

impl Missing {
    /// Adds one. Whether one more thread is to go through the queue, until [`pop`](Self::pop) has none.
    pub(super) fn push(&self, awaited: Awaited) -> bool {
        let mut state = self.state();
        state.queue.push_back(awaited);
        let wanted = state.threads < THREADS && state.queue.len() > state.threads * PER_THREAD;
        state.threads += usize::from(wanted);
        wanted
    }

    /// The next one. Where there is none the thread ends.
    pub(super) fn pop(&self) -> Option<Awaited> {
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

    fn awaited() -> Awaited {
        let unfinished = Unfinished {
            reply: Box::default(),
            next: 0,
            got: 0,
        };
        let (asker, _) = oneshot::channel();
        Awaited { unfinished, asker }
    }

    #[test]
    fn threads_come_with_work_and_go_without_it() {
        let missing = Missing::default();
        let started = (0..100).filter(|_| missing.push(awaited())).count();
        assert_eq!(started, THREADS);
        for _ in 0..100 {
            assert!(missing.pop().is_some());
        }
        for _ in 0..THREADS {
            assert!(missing.pop().is_none());
        }
        assert!(
            missing.push(awaited()),
            "the first one starts a thread again"
        );
        assert!(!missing.push(awaited()), "which does for the next ones too");
    }
}
