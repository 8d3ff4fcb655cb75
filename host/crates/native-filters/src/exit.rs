//! The end of a server at the request of its filters.

mod event;

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use device::fault::Failure;
use lanes::Work;
use tokio::sync::Notify;
use tokio::time::sleep;

pub(crate) use self::event::Event;

/// Decides when a server ends. Its filters, which know the clients, share it with the code that ends the server.
#[derive(Debug, Default)]
pub struct Exit {
    state: Mutex<State>,
    /// Whether no client is admitted any more.
    closed: AtomicBool,
    left: Notify,
    /// Held by the thread that checks the events, so that one does at a time, however many clients connect.
    looking: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug, Default)]
struct State {
    clients: usize,
    with_the_last: bool,
    /// Empty while a thread checks them.
    events: Vec<Event>,
    /// The interval at which the events are checked while no client connects.
    poll: Option<Duration>,
}

/// An admitted client.
pub(crate) struct Present(Arc<Exit>);

impl Exit {
    fn state(&self) -> MutexGuard<'_, State> {
        // No code panics half-way through a change while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn with_the_last_client(&self) {
        self.state().with_the_last = true;
    }

    pub(crate) fn when(&self, events: impl Iterator<Item = Event>, poll: Duration) {
        let mut state = self.state();
        let before = state.events.len();
        state.events.extend(events);
        if state.events.len() > before {
            state.poll = Some(state.poll.map_or(poll, |other| other.min(poll)));
        }
    }

    /// Admits a client. May wait for a check of the events. Dropping the future is safe.
    ///
    /// # Errors
    /// The server is about to end.
    pub(crate) async fn enter(self: &Arc<Self>) -> Result<Present, Failure> {
        self.look().await;
        let mut state = self.state();
        if self.is_closed() {
            return Err(Failure::shutdown());
        }
        state.clients += 1;
        drop(state);
        Ok(Present(Arc::clone(self)))
    }

    fn is_closed(&self) -> bool {
        self.closed.load(SeqCst)
    }

    /// Checks the events on a thread of the host's lane: they are the operator's, and a file may be on a disk that
    /// hangs. If the future is dropped, the thread ends by itself.
    async fn look(self: &Arc<Self>) {
        if self.is_closed() || self.state().poll.is_none() {
            return;
        }
        let turn = Arc::clone(&self.looking).lock_owned().await;
        let exit = Arc::clone(self);
        let looked = Work::of_the_host().run(move || {
            let mut events = std::mem::take(&mut exit.state().events);
            if events.iter_mut().any(Event::has_happened) {
                exit.closed.store(true, SeqCst);
            }
            exit.state().events.append(&mut events);
            drop(turn);
        });
        // Without a thread nothing was checked; the next client or interval checks again.
        let _ = looked.await;
    }

    /// Waits until the server has to end; for ever if no filter requests that. Dropping the future is safe.
    pub async fn asked(self: &Arc<Self>) {
        loop {
            let left = self.left.notified();
            self.look().await;
            let poll = {
                let state = self.state();
                if self.is_closed() && state.clients == 0 {
                    return;
                }
                state.poll
            };
            match poll {
                Some(poll) => tokio::select! {
                    () = left => {}
                    () = sleep(poll) => {}
                },
                None => left.await,
            }
        }
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        let Self(exit) = self;
        let mut state = exit.state();
        state.clients -= 1;
        if state.clients == 0 && state.with_the_last {
            exit.closed.store(true, SeqCst);
        }
        drop(state);
        exit.left.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    /// The result of a future that must not wait.
    fn now<T>(future: impl Future<Output = T>) -> T {
        future.now_or_never().expect("the future must not wait")
    }

    #[test]
    fn a_server_ends_with_its_last_client_and_not_before_its_first() {
        let exit = Arc::new(Exit::default());
        exit.with_the_last_client();
        assert!(exit.asked().now_or_never().is_none());
        let (one, two) = (now(exit.enter()).unwrap(), now(exit.enter()).unwrap());
        drop(one);
        assert!(exit.asked().now_or_never().is_none());
        drop(two);
        now(exit.asked());
        assert!(now(exit.enter()).is_err());
    }

    #[tokio::test]
    async fn after_an_event_no_client_is_admitted_and_the_connected_ones_stay() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("stop");
        let exit = Arc::new(Exit::default());
        let created = Event::Created(file.clone());
        exit.when([created].into_iter(), Duration::from_secs(60));
        let client = exit.enter().await.unwrap();
        std::fs::write(file, "").unwrap();
        assert!(exit.enter().await.is_err());
        assert!(exit.asked().now_or_never().is_none());
        drop(client);
        exit.asked().await;
    }

    #[tokio::test]
    async fn while_a_check_hangs_clients_wait_and_begin_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let exit = Arc::new(Exit::default());
        let created = Event::Created(folder.path().join("stop"));
        exit.when([created].into_iter(), Duration::from_secs(60));
        // As a checking thread holds it.
        let hangs = Arc::clone(&exit.looking).lock_owned().await;
        let mut clients: Vec<_> = (0..100).map(|_| Box::pin(exit.enter())).collect();
        for client in &mut clients {
            assert!(client.now_or_never().is_none());
        }
        drop(hangs);
        for client in clients {
            drop(client.await.unwrap());
        }
    }
}
