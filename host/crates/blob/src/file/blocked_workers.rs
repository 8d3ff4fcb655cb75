//! Short system calls on a file, on the worker itself or on a lane.
//!
//! A short write into the page cache, or a look at a file's timestamps, takes less time than a hand-over to another
//! thread and back. So these calls are the one exception from the rule that a lane does what may block. Still, either
//! may have to wait, for a busy disk or an unreachable file server, and then its worker waits too. Therefore one worker
//! always stays free of such calls, [`wake_spare_worker`] wakes it if it sleeps, and a file that has made a worker wait
//! is left to lanes for a while.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use crate::error::BlobError;
use crate::file::FileSource;

/// A call that takes longer has waited for something.
const LONG: Duration = Duration::from_millis(5);

/// How long a file that has made a worker wait is left to lanes.
const PAUSE: Duration = Duration::from_secs(1);

static BLOCKED: Mutex<BlockedWorkers> = Mutex::new(BlockedWorkers::new());

impl FileSource {
    /// Runs `work`, which is short unless the file makes it wait. If the future is dropped, as for
    /// [`on_lane`](Self::on_lane).
    pub(super) async fn in_place_or_on_lane<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, BlobError> + Send + 'static,
    ) -> Result<T, BlobError> {
        let began = Instant::now();
        if self.is_slow(began) || !blocked_workers().begin(Handle::current()) {
            return self.on_lane(work).await;
        }
        let done = work(self);
        blocked_workers().end();
        if began.elapsed() >= LONG {
            self.note_slow(Instant::now() + PAUSE);
        }
        done
    }
}

/// Wakes a worker if another one has been waiting in a system call since the last call of this function: the waiting
/// worker may be the one that polls the sockets. To be called about every millisecond while anything runs.
pub fn wake_spare_worker() {
    let runtime = blocked_workers().runtime_to_wake();
    if let Some(runtime) = runtime {
        #[expect(clippy::disallowed_methods, reason = "a task that does nothing")]
        drop(runtime.spawn(async {}));
    }
}

fn blocked_workers() -> MutexGuard<'static, BlockedWorkers> {
    // No code panics while it holds the lock.
    BLOCKED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The workers that are in a system call which may make them wait.
struct BlockedWorkers {
    /// The number of workers in such a call.
    waiting: usize,
    /// Calls that began or ended since the last look.
    moves: u32,
    /// Whether a worker was woken for the present waiters.
    woken: bool,
    /// The runtime of the latest call.
    runtime: Option<Handle>,
}

impl BlockedWorkers {
    const fn new() -> Self {
        Self {
            waiting: 0,
            moves: 0,
            woken: false,
            runtime: None,
        }
    }

    /// Enters a call of this worker; `false` if no other worker would be left.
    fn begin(&mut self, runtime: Handle) -> bool {
        if self.waiting + 1 >= runtime.metrics().num_workers() {
            return false;
        }
        self.waiting += 1;
        self.moves = self.moves.saturating_add(1);
        self.woken = false;
        self.runtime = Some(runtime);
        true
    }

    fn end(&mut self) {
        self.waiting -= 1;
        self.moves = self.moves.saturating_add(1);
    }

    /// The runtime that needs a spare worker: a worker waits, nothing has moved since the last look, and no worker was
    /// woken for it.
    fn runtime_to_wake(&mut self) -> Option<Handle> {
        let moved = std::mem::take(&mut self.moves) > 0;
        if self.waiting == 0 || moved || self.woken {
            return None;
        }
        self.woken = true;
        self.runtime.clone()
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the test's own thread")]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn runtime(workers: usize) -> tokio::runtime::Runtime {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder
            .worker_threads(workers)
            .enable_all()
            .build()
            .unwrap()
    }

    #[test]
    fn one_worker_is_always_left() {
        let (one, three) = (runtime(1), runtime(3));
        let mut blocked = BlockedWorkers::new();
        assert!(!blocked.begin(one.handle().clone()));
        assert!(blocked.begin(three.handle().clone()));
        assert!(blocked.begin(three.handle().clone()));
        assert!(!blocked.begin(three.handle().clone()));
        blocked.end();
        assert!(blocked.begin(three.handle().clone()));
    }

    #[test]
    fn a_spare_worker_is_woken_once_for_each_wait() {
        let two = runtime(2);
        let mut blocked = BlockedWorkers::new();
        assert!(blocked.runtime_to_wake().is_none());
        assert!(blocked.begin(two.handle().clone()));
        assert!(blocked.runtime_to_wake().is_none(), "it has only begun");
        assert!(blocked.runtime_to_wake().is_some());
        assert!(blocked.runtime_to_wake().is_none());
        blocked.end();
        assert!(blocked.begin(two.handle().clone()));
        assert!(blocked.runtime_to_wake().is_none());
        assert!(blocked.runtime_to_wake().is_some());
    }

    /// One worker waits in a system call; the other one serves the sockets.
    #[test]
    fn others_are_served_while_a_worker_waits() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let two = runtime(2);
        let (stop, stopped) = mpsc::channel::<()>();
        let (mut ours, mut theirs) =
            two.block_on(async { tokio::net::UnixStream::pair().unwrap() });
        two.spawn(async move {
            let mut byte = [0];
            while theirs.read_exact(&mut byte).await.is_ok() {
                theirs.write_all(&byte).await.unwrap();
            }
        });
        let file = tempfile::NamedTempFile::new().unwrap();
        let work = lanes::Lane::new("alice").charging(None);
        let disk = FileSource::open(file.path(), true, work).unwrap();
        let (began, begun) = mpsc::channel();
        let waits = two.spawn(async move {
            disk.in_place_or_on_lane(move |_| {
                began.send(()).unwrap();
                let _ = stopped.recv();
                Ok(())
            })
            .await
            .unwrap();
            disk.is_slow(Instant::now())
        });
        begun.recv().unwrap();
        std::thread::spawn(|| {
            loop {
                std::thread::sleep(Duration::from_millis(1));
                wake_spare_worker();
            }
        });
        two.block_on(async {
            for _ in 0..20 {
                ours.write_all(b"x").await.unwrap();
                let mut byte = [0];
                ours.read_exact(&mut byte).await.unwrap();
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        assert!(!waits.is_finished());
        stop.send(()).unwrap();
        assert!(two.block_on(waits).unwrap(), "it's left to lanes now");
    }
}
