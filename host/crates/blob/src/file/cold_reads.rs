//! Replies that wait for bytes of a file that aren't in the page cache, and the threads that wait for these bytes.
//!
//! The read that is limited to the page cache (`preadv2` with `RWF_NOWAIT`) has already started the disk: in Linux's
//! mm/filemap.c, `filemap_get_pages` reads ahead the missing pages before it returns EAGAIN. So all that is left is to
//! wait. A few threads of the tenant's lane do that for all replies of an export, one after the other. They take along
//! the bytes that have arrived meanwhile, and wake all waiters of these at once. A thread for each read would cost a
//! wake-up of that thread and another one back.

use std::collections::VecDeque;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lanes::Work;
use tokio::sync::oneshot;

use crate::error::BlobError;
use crate::file::{FileSource, PartialReply};

/// How many replies one thread waits for before there is another thread.
const PER_THREAD: usize = 32;

/// The most threads that wait for one file of an export.
const THREADS: usize = 4;

/// The most replies whose waiters are woken together.
const TOLD: usize = 64;

/// The result of a reply.
type Outcome = Result<PartialReply, BlobError>;

/// A reply that waits for the disk, and its waiter.
#[derive(Debug)]
struct ColdRead {
    reply: PartialReply,
    /// The file's index among the blobs of this reply.
    blob: u32,
    waiter: oneshot::Sender<Outcome>,
}

/// The replies that wait for one file, in order of arrival.
#[derive(Debug, Default)]
pub(super) struct ColdReads {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<ColdRead>,
    /// The number of threads that work through the queue.
    threads: usize,
}

impl FileSource {
    /// Waits for the next missing bytes, up to those of another blob. They belong to this file, which is `blob` in this
    /// reply. Dropping the future is safe, and loses the reply.
    ///
    /// # Errors
    /// I/O failed, or the file has shrunk.
    pub(crate) async fn fill(&self, blob: u32, mut reply: PartialReply) -> Outcome {
        // A lane's thread must not wait for another one.
        if self.looks_start_reads() && !Work::is_here() {
            return self.wait_for_disk(blob, reply).await;
        }
        self.on_lane(move |file| {
            file.fill_waiting(blob, &mut reply)?;
            Ok(reply)
        })
        .await
    }

    async fn wait_for_disk(&self, blob: u32, reply: PartialReply) -> Outcome {
        let (waiter, answer) = oneshot::channel();
        let read = ColdRead {
            reply,
            blob,
            waiter,
        };
        self.work().turn().await;
        if self.cold_reads().push(read) {
            let file = self.clone();
            let begun = self.work().begin(move || file.go_through_cold_reads());
            begun.map_err(|error| {
                self.cold_reads().cannot_begin();
                self.io_error(io::Error::other(error))
            })?;
        }
        answer.await.unwrap_or_else(|_| {
            let error = io::Error::other("the thread that read it has ended");
            Err(self.io_error(error))
        })
    }

    /// Fills all replies that wait for this file. Runs on a thread of the lane.
    fn go_through_cold_reads(&self) {
        let mut done = Vec::new();
        while let Some(ColdRead {
            mut reply,
            blob,
            waiter,
        }) = self.cold_reads().pop()
        {
            let mut filled = Ok(());
            if !self.fill_cached(blob, &mut reply) {
                tell(&mut done);
                filled = self.fill_waiting(blob, &mut reply);
            }
            done.push((waiter, filled.map(|()| reply)));
            if done.len() >= TOLD {
                tell(&mut done);
            }
        }
        tell(&mut done);
    }

    /// Copies the bytes of this file that the page cache has; `false` if some are missing.
    fn fill_cached(&self, blob: u32, reply: &mut PartialReply) -> bool {
        while let Some(gap) = reply.gap()
            && gap.blob == blob
        {
            let wanted = gap.bytes.len();
            let got = self.read_cached(gap.offset, gap.bytes);
            reply.advance(got);
            if got < wanted {
                return false;
            }
        }
        true
    }

    /// Reads all missing bytes of this file. Blocks.
    fn fill_waiting(&self, blob: u32, reply: &mut PartialReply) -> Result<(), BlobError> {
        while let Some(gap) = reply.gap()
            && gap.blob == blob
        {
            let wanted = gap.bytes.len();
            self.read_waiting(gap.offset, gap.bytes)?;
            reply.advance(wanted);
        }
        Ok(())
    }
}

fn tell(done: &mut Vec<(oneshot::Sender<Outcome>, Outcome)>) {
    for (waiter, done) in done.drain(..) {
        // The waiter may have given up.
        let _ = waiter.send(done);
    }
}

impl ColdReads {
    /// Adds a read. Whether another thread has to work through the queue, until [`pop`](Self::pop) returns `None`.
    fn push(&self, read: ColdRead) -> bool {
        let mut state = self.state();
        state.queue.push_back(read);
        let wanted = state.threads < THREADS && state.queue.len() > state.threads * PER_THREAD;
        state.threads += usize::from(wanted);
        wanted
    }

    /// Notes that a thread for the queue can't start. If there is no other thread, the waiting reads fail.
    fn cannot_begin(&self) {
        let mut state = self.state();
        state.threads -= 1;
        if state.threads == 0 {
            state.queue.clear();
        }
    }

    /// The next read. If there is none, the calling thread must end.
    fn pop(&self) -> Option<ColdRead> {
        let mut state = self.state();
        let next = state.queue.pop_front();
        state.threads -= usize::from(next.is_none());
        next
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read() -> ColdRead {
        let (waiter, _) = oneshot::channel();
        ColdRead {
            reply: PartialReply::new(Box::default()),
            blob: 0,
            waiter,
        }
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
