//! The end of a server, as its filters ask for it.

mod event;

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use device::fault::Failure;
use tokio::sync::Notify;
use tokio::time::sleep;

pub(crate) use self::event::Event;

/// Says when a server is to end: shared by its filters, which know of clients, and by whoever ends it.
#[derive(Debug, Default)]
pub struct Exit {
    state: Mutex<State>,
    /// Nobody is let in any more.
    closed: AtomicBool,
    left: Notify,
}

#[derive(Debug, Default)]
struct State {
    clients: usize,
    with_the_last: bool,
    events: Vec<Event>,
    /// How often events are looked for while nobody is connected.
    poll: Option<Duration>,
}

/// A client that was let in.
pub(crate) struct Present(Arc<Exit>);

impl Exit {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that holds the lock panics half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn with_the_last_client(&self) {
        self.state().with_the_last = true;
    }

    pub(crate) fn when(&self, events: impl Iterator<Item = Event>, poll: Duration) {
        let mut state = self.state();
        state.events.extend(events);
        state.poll = Some(state.poll.map_or(poll, |other| other.min(poll)));
    }

    /// Lets a client in.
    ///
    /// # Errors
    /// The server is about to end.
    pub(crate) fn enter(self: &Arc<Self>) -> Result<Present, Failure> {
        let mut state = self.state();
        if self.is_closed(&mut state) {
            return Err(Failure::shutdown());
        }
        state.clients += 1;
        Ok(Present(Arc::clone(self)))
    }

    /// Whether nobody is let in any more; looks whether something has happened.
    fn is_closed(&self, state: &mut State) -> bool {
        if !self.closed.load(SeqCst) && state.events.iter_mut().any(Event::has_happened) {
            self.closed.store(true, SeqCst);
        }
        self.closed.load(SeqCst)
    }

    /// Waits until the server is to end, for ever if no filter wants that. Dropping it is safe.
    pub async fn asked(&self) {
        loop {
            let left = self.left.notified();
            let poll = {
                let mut state = self.state();
                if self.is_closed(&mut state) && state.clients == 0 {
                    return;
                }
                state.poll.filter(|_| !state.events.is_empty())
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

    #[test]
    fn a_server_ends_with_its_last_client_and_not_before_its_first() {
        let exit = Arc::new(Exit::default());
        exit.with_the_last_client();
        assert!(exit.asked().now_or_never().is_none());
        let (one, two) = (exit.enter().unwrap(), exit.enter().unwrap());
        drop(one);
        assert!(exit.asked().now_or_never().is_none());
        drop(two);
        assert!(exit.asked().now_or_never().is_some());
        assert!(exit.enter().is_err());
    }

    #[test]
    fn what_has_happened_lets_nobody_in_and_waits_for_who_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("stop");
        let exit = Arc::new(Exit::default());
        let created = Event::Created(file.clone());
        exit.when([created].into_iter(), Duration::from_secs(60));
        let client = exit.enter().unwrap();
        std::fs::write(file, "").unwrap();
        assert!(exit.enter().is_err());
        drop(client);
        assert!(exit.asked().now_or_never().is_some());
    }
}
