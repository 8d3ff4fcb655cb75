//! The server's end: asks the keeper, and hands each answer to whoever waits for it.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;

use crate::link::Link;
use crate::message::{Answer, Note, Request, Told};

/// What the keeper said, with the descriptor that came along.
pub type Reply = io::Result<(Answer, Option<OwnedFd>)>;

static KEEPER: OnceLock<Keeper> = OnceLock::new();

/// The keeper of this process.
pub struct Keeper {
    shared: Arc<Shared>,
    next: AtomicU64,
}

struct Shared {
    link: Link,
    /// Who waits for which answer; `None` once the keeper is gone.
    waiting: Mutex<Option<HashMap<u64, Waiter>>>,
}

type Waiter = Box<dyn FnOnce(Reply) + Send>;

/// An ask that was begun. Dropping it takes the ask back: nobody is told of its answer any more.
#[must_use = "dropping it takes the ask back"]
pub struct Call {
    number: u64,
    shared: Arc<Shared>,
}

impl Keeper {
    /// From here on what needs a name is asked of the keeper at the other end of the link. `noted` is told what the keeper
    /// says by itself, with the descriptor that came along, and `gone`, once, that it has ended; both in a thread of their own. To be called once, before
    /// anything is asked.
    ///
    /// # Errors
    /// There is no thread.
    pub fn introduce(
        link: Link,
        noted: impl Fn(Note, Option<OwnedFd>) + Send + 'static,
        gone: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        let shared = Arc::new(Shared {
            link,
            waiting: Mutex::new(Some(HashMap::new())),
        });
        let listening = Arc::clone(&shared);
        #[expect(
            clippy::disallowed_methods,
            reason = "the process's: one, which hands on what the keeper says, and ends with it"
        )]
        thread::Builder::new()
            .name("keeper".to_owned())
            .spawn(move || {
                listening.listen(noted);
                gone();
            })?;
        let introduced = KEEPER.set(Self {
            shared,
            next: AtomicU64::new(0),
        });
        introduced.map_err(|_| io::ErrorKind::AlreadyExists.into())
    }

    /// The keeper; `None` for a process that has no walls around it.
    #[must_use]
    pub fn get() -> Option<&'static Self> {
        KEEPER.get()
    }

    /// Asks, and waits for the answer. Blocks for as long as the operation does.
    ///
    /// # Errors
    /// What the operation failed of; the keeper is gone, or denies it.
    pub fn ask(&self, request: &Request) -> Reply {
        let (sender, told) = sync_channel(1);
        let call = self.begin(request, move |reply| {
            // Whoever asked may be gone.
            let _ = sender.send(reply);
        })?;
        let reply = told.recv().unwrap_or_else(|_| Err(gone()));
        drop(call);
        reply
    }

    /// Asks; `told` is called with the answer, in a thread of the keeper's, unless the call is dropped before.
    ///
    /// # Errors
    /// The keeper is gone.
    pub fn begin(
        &self,
        request: &Request,
        told: impl FnOnce(Reply) + Send + 'static,
    ) -> io::Result<Call> {
        let number = self.next.fetch_add(1, Relaxed);
        match &mut *self.shared.waiting() {
            Some(waiting) => waiting.insert(number, Box::new(told)),
            None => return Err(gone()),
        };
        let call = Call {
            number,
            shared: Arc::clone(&self.shared),
        };
        self.shared.link.send(&(number, request), None)?;
        Ok(call)
    }
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").finish_non_exhaustive()
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Call").field(&self.number).finish()
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let waiter = self
            .shared
            .waiting()
            .as_mut()
            .and_then(|waiting| waiting.remove(&self.number));
        if waiter.is_some() {
            // A keeper that is gone has nothing under way.
            let _ = self
                .shared
                .link
                .send(&(self.number, Request::Cancel(self.number)), None);
        }
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Option<HashMap<u64, Waiter>>> {
        // What it holds is whole at any time.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands on what the keeper says until it's gone.
    fn listen(&self, noted: impl Fn(Note, Option<OwnedFd>)) {
        // The keeper is trusted: what can't be understood is as good as its end.
        while let Ok(Some((told, file))) = self.link.receive::<Told>() {
            match told {
                Told::Note(note) => noted(note, file),
                Told::Answer(number, answer) => {
                    let waiter = self
                        .waiting()
                        .as_mut()
                        .and_then(|waiting| waiting.remove(&number));
                    if let Some(waiter) = waiter {
                        waiter(answer.map(|answer| (answer, file)).map_err(io::Error::from));
                    }
                }
            }
        }
        let left = self.waiting().take().unwrap_or_default();
        for waiter in left.into_values() {
            waiter(Err(gone()));
        }
    }
}

fn gone() -> io::Error {
    io::Error::other("the keeper, which opens files for this process, has ended")
}
