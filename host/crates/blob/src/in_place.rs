//! Short system calls on a file, in place or on a thread.
//!
//! A write into the page cache or a question for holes takes less time than the way to another thread
//! and back. But either may wait, for a disk that is busy or a file server that is gone, and then the
//! worker that made it waits too. So while one waits in place another one is always left for everybody
//! else, [`relieve`] wakes that one if it sleeps, and a file that has kept a worker waiting is left to
//! threads for a while.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use crate::error::BlobError;
use crate::file::{Blob, on_a_thread};

/// A call that takes longer has waited for something.
const LONG: Duration = Duration::from_millis(5);

/// How long a file that made somebody wait is left to threads.
const PAUSE: Duration = Duration::from_secs(1);

static PLACES: Mutex<Places> = Mutex::new(Places::new());

impl Blob {
    /// Does `work`, which is short unless the file keeps it waiting.
    pub(super) async fn briefly<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, BlobError> + Send + 'static,
    ) -> Result<T, BlobError> {
        let began = Instant::now();
        if self.is_slow(began) || !places().take(Handle::current()) {
            return on_a_thread(work).await;
        }
        let done = work();
        places().give_back();
        if began.elapsed() >= LONG {
            self.note_slow(Instant::now() + PAUSE);
        }
        done
    }
}

/// Wakes a worker when another one has been kept waiting since the last time this was called: the one
/// that waits may be the one that listened for what the sockets have. To be called every millisecond or
/// so while anything runs.
pub fn relieve() {
    let relief = places().relief();
    if let Some(runtime) = relief {
        runtime.spawn(async {});
    }
}

fn places() -> MutexGuard<'static, Places> {
    // Nothing that holds the lock panics.
    PLACES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Who waits in place.
struct Places {
    /// Workers in such a call.
    waiting: usize,
    /// Calls that began or ended since the last look.
    moves: u32,
    /// Somebody was woken for those that wait.
    relieved: bool,
    /// The runtime of the last one.
    runtime: Option<Handle>,
}

impl Places {
    const fn new() -> Self {
        Self {
            waiting: 0,
            moves: 0,
            relieved: false,
            runtime: None,
        }
    }

    /// Takes a place, if another worker is left.
    fn take(&mut self, runtime: Handle) -> bool {
        if self.waiting + 1 >= runtime.metrics().num_workers() {
            return false;
        }
        self.waiting += 1;
        self.moves = self.moves.saturating_add(1);
        self.relieved = false;
        self.runtime = Some(runtime);
        true
    }

    fn give_back(&mut self) {
        self.waiting -= 1;
        self.moves = self.moves.saturating_add(1);
    }

    /// The runtime to wake a worker of: somebody waits, nothing has moved since the last look, and
    /// nobody was woken for it.
    fn relief(&mut self) -> Option<Handle> {
        let moved = std::mem::take(&mut self.moves) > 0;
        if self.waiting == 0 || moved || self.relieved {
            return None;
        }
        self.relieved = true;
        self.runtime.clone()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that can't go on fails")]
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
        let mut places = Places::new();
        assert!(!places.take(one.handle().clone()));
        assert!(places.take(three.handle().clone()));
        assert!(places.take(three.handle().clone()));
        assert!(!places.take(three.handle().clone()));
        places.give_back();
        assert!(places.take(three.handle().clone()));
    }

    #[test]
    fn relief_comes_once_to_those_that_wait_from_one_look_to_the_next() {
        let two = runtime(2);
        let mut places = Places::new();
        assert!(places.relief().is_none());
        assert!(places.take(two.handle().clone()));
        assert!(places.relief().is_none(), "it has only begun");
        assert!(places.relief().is_some());
        assert!(places.relief().is_none());
        places.give_back();
        assert!(places.take(two.handle().clone()));
        assert!(places.relief().is_none());
        assert!(places.relief().is_some());
    }

    /// One worker waits in a system call; what comes over sockets meanwhile is dealt with.
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
        let grant = crate::Grant {
            name: "disk".to_owned(),
            path: file.path().to_owned(),
            access: crate::Access::ReadWrite,
        };
        let blob = Blob::open(grant).unwrap();
        let (began, begun) = mpsc::channel();
        let waits = two.spawn(async move {
            blob.briefly(move || {
                began.send(()).unwrap();
                let _ = stopped.recv();
                Ok(())
            })
            .await
            .unwrap();
            blob.is_slow(Instant::now())
        });
        begun.recv().unwrap();
        std::thread::spawn(|| {
            loop {
                std::thread::sleep(Duration::from_millis(1));
                relieve();
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
        assert!(two.block_on(waits).unwrap(), "it's left to threads now");
    }
}
