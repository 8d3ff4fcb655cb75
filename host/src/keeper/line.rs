//! The line between one server and its desk. It receives requests, begins them, and sends the answers.

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

/// A line. Dropping it ends the requests in flight.
pub(super) struct Line {
    shared: Arc<Shared>,
    places: Arc<Semaphore>,
    wire: Arc<Wire>,
    under_way: HashMap<u64, AbortHandle>,
    /// The task that sends the latest note.
    note: Option<AbortHandle>,
}

/// A link of which tokio's runtime knows when it can send or receive.
pub(super) struct Wire {
    link: Link,
    /// The same socket, registered with the runtime.
    watched: UnixStream,
}

impl Line {
    /// Makes a line of a link. Must be called in a runtime of tokio.
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

    /// Answers requests until the server reports a stage; `None` once the server has closed the link, or sent a message
    /// that can't be decoded. Dropping the future loses nothing.
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

    /// Sends a note as soon as the server reads, without waiting for that. Replaces an earlier note that the server
    /// hasn't read yet.
    pub(super) fn note(&mut self, note: Note) {
        let wire = Arc::clone(&self.wire);
        let telling = async move {
            // If the server has ended, it needs no note.
            let _ = wire.send(&Told::Note(note), None::<&OwnedFd>).await;
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "owner: the operator; one task, which ends with the line"
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
            reason = "owner: the server; as many as the desk has places, and they end with the line"
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

    /// Sends a message. Waits until the server reads. If the future is dropped, the message is sent as a whole or not
    /// at all.
    pub(super) async fn send(&self, told: &Told, file: Option<&impl AsFd>) -> io::Result<()> {
        let send = || self.link.send(told, file.map(AsFd::as_fd));
        self.watched.async_io(Interest::WRITABLE, send).await
    }
}
