//! One server's line to its desk: requests are received, begun and answered.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use outside::{Answer, Link, Note, Request, Stage, Told};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;

use super::desk::{Done, Shared};

/// A line. Dropping it ends the work that is under way for its server.
pub(super) struct Line {
    shared: Arc<Shared>,
    places: Arc<Semaphore>,
    wire: Arc<Wire>,
    under_way: HashMap<u64, AbortHandle>,
    /// Sends the latest note.
    note: Option<AbortHandle>,
}

/// A link that doesn't block.
pub(super) struct Wire {
    link: Link,
    /// The same socket: the runtime says when something can be sent or received.
    watched: UnixStream,
}

impl Line {
    /// Must be called in a runtime.
    ///
    /// # Errors
    /// The runtime can't watch the link.
    pub(super) fn new(link: Link, shared: Arc<Shared>, places: Arc<Semaphore>) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&link, true)?;
        let watched = link.as_fd().try_clone_to_owned()?;
        let wire = Wire {
            link,
            watched: UnixStream::from_std(watched.into())?,
        };
        Ok(Self {
            shared,
            places,
            wire: Arc::new(wire),
            under_way: HashMap::new(),
            note: None,
        })
    }

    pub(super) fn wire(&self) -> &Arc<Wire> {
        &self.wire
    }

    /// Answers until the server reports how far it is; `None` once the link is closed, or a message can't be understood.
    /// Dropping it loses nothing.
    pub(super) async fn stage(&mut self) -> Option<Stage> {
        loop {
            let place = Arc::clone(&self.places).acquire_owned().await.ok()?;
            let ((number, request), _) = self.wire.receive().await.ok()??;
            self.under_way.retain(|_, task| !task.is_finished());
            match request {
                Request::Cancel(other) => {
                    if let Some(task) = self.under_way.remove(&other) {
                        task.abort();
                    }
                }
                Request::Reached(stage) => {
                    self.begin(number, place, async { Ok((Answer::Done, None)) });
                    return Some(stage);
                }
                request => {
                    let shared = Arc::clone(&self.shared);
                    self.begin(number, place, async move { shared.answer(request).await });
                }
            }
        }
    }

    /// Sends a note as soon as the server reads. The keeper doesn't wait for that, and forgets an earlier note that the
    /// server hasn't read yet.
    pub(super) fn note(&mut self, note: Note) {
        let wire = Arc::clone(&self.wire);
        let telling = async move {
            // A server that has just ended needs no note.
            let _ = wire.send(&Told::Note(note), None::<&OwnedFd>).await;
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "the operator's: one, which ends with the server's line"
        )]
        let telling = tokio::spawn(telling);
        if let Some(before) = self.note.replace(telling.abort_handle()) {
            before.abort();
        }
    }

    fn begin(
        &mut self,
        number: u64,
        place: OwnedSemaphorePermit,
        work: impl Future<Output = Done> + Send + 'static,
    ) {
        let wire = Arc::clone(&self.wire);
        let task = async move {
            let (answer, file) = match work.await {
                Ok((answer, file)) => (Ok(answer), file),
                Err(failure) => (Err(failure), None),
            };
            let _ = wire
                .send(&Told::Answer(number, answer), file.as_ref())
                .await;
            drop(place);
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "the server's: as many as the desk has places, and they end with its line"
        )]
        let task = tokio::spawn(task);
        self.under_way.insert(number, task.abort_handle());
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        for task in self.under_way.values().chain(&self.note) {
            task.abort();
        }
    }
}

impl Wire {
    async fn receive(&self) -> io::Result<Option<((u64, Request), Option<OwnedFd>)>> {
        let receive = || self.link.receive();
        self.watched.async_io(Interest::READABLE, receive).await
    }

    /// Waits until the server reads. Dropping it is safe: the message was sent as a whole, or not at all.
    pub(super) async fn send(&self, told: &Told, file: Option<&impl AsFd>) -> io::Result<()> {
        let send = || self.link.send(told, file.map(AsFd::as_fd));
        self.watched.async_io(Interest::WRITABLE, send).await
    }
}
