//! The server's end of the link: it sends requests to the keeper, and passes each answer to its caller.

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

/// The keeper's answer, with the descriptor that the message carried.
pub type Reply = io::Result<(Answer, Option<OwnedFd>)>;

static KEEPER: OnceLock<Keeper> = OnceLock::new();

/// The link of this process to its keeper. One for each process.
pub struct Keeper {
    shared: Arc<Shared>,
    next: AtomicU64,
}

struct Shared {
    link: Link,
    /// The callers that wait, by the number of their request; `None` once the keeper has ended.
    waiting: Mutex<Option<HashMap<u64, Waiter>>>,
}

type Waiter = Box<dyn FnOnce(Reply) + Send>;

/// A request that waits for its answer. Dropping it cancels the request: the keeper gives it up, and the callback isn't
/// called.
#[must_use = "dropping it cancels the request"]
pub struct Call {
    number: u64,
    shared: Arc<Shared>,
}

impl Keeper {
    /// Makes the process at the other end of the link the keeper of this one, for good. A thread of its own calls
    /// `noted` with each [`Note`] and the descriptor that it carried, and `gone` once the keeper has ended. Must be
    /// called once, before the first function of [`files`](crate::files).
    ///
    /// # Errors
    /// The kernel can't start a thread; the process has a keeper already.
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
            reason = "owner: the process; one thread, which passes on the keeper's messages and ends with the keeper"
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

    /// The keeper of this process; `None` if the process has no walls.
    #[must_use]
    pub fn get() -> Option<&'static Self> {
        KEEPER.get()
    }

    /// Sends a request, and waits for the answer. Blocks while the keeper works on it.
    ///
    /// # Errors
    /// The operation's error; EPERM if the keeper denies the request; another error if the keeper has ended.
    pub fn ask(&self, request: &Request) -> Reply {
        let (sender, told) = sync_channel(1);
        let call = self.begin(request, move |reply| {
            // Nobody receives it if `begin` has failed meanwhile.
            let _ = sender.send(reply);
        })?;
        let reply = told.recv().unwrap_or_else(|_| Err(gone()));
        drop(call);
        reply
    }

    /// Sends a request. The thread that reads the keeper's messages calls `told` with the answer, unless the call is
    /// dropped before; `told` must not block. Blocks only while the link is full.
    ///
    /// # Errors
    /// The keeper has ended; the request is too large for a message.
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
            // If the keeper has ended, there is nothing to cancel.
            let _ = self
                .shared
                .link
                .send(&(self.number, Request::Cancel(self.number)), None);
        }
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Option<HashMap<u64, Waiter>>> {
        // No operation leaves it half-done.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes on the keeper's messages until it has ended, then fails all requests that wait.
    fn listen(&self, noted: impl Fn(Note, Option<OwnedFd>)) {
        // The server trusts the keeper, so a message that can't be decoded can only mean that the keeper is broken.
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
