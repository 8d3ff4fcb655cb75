//! The end of a server, as its filters ask for it.

mod event;

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use device::fault::Failure;
use lanes::Work;
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
    /// Held by the thread that looks whether something has happened: one at a time, however many clients come.
    looking: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug, Default)]
struct State {
    clients: usize,
    with_the_last: bool,
    /// Empty while a thread looks for them.
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
        let before = state.events.len();
        state.events.extend(events);
        if state.events.len() > before {
            state.poll = Some(state.poll.map_or(poll, |other| other.min(poll)));
        }
    }

    /// Lets a client in.
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

    /// Looks whether something has happened, on a thread of the host's: the events are the operator's, and a file may be
    /// on a disk that hangs. Dropping it leaves that thread to end by itself.
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
        // Without a thread nothing was found out: somebody looks again.
        let _ = looked.await;
    }

    /// Waits until the server is to end, for ever if no filter wants that. Dropping it is safe.
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

    /// What is there without waiting.
    fn now<T>(future: impl Future<Output = T>) -> T {
        future.now_or_never().expect("nothing is to be waited for")
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
    async fn what_has_happened_lets_nobody_in_and_waits_for_who_is_there() {
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
    async fn while_a_look_hangs_all_who_come_wait_and_none_begins_another() {
        let folder = tempfile::tempdir().unwrap();
        let exit = Arc::new(Exit::default());
        let created = Event::Created(folder.path().join("stop"));
        exit.when([created].into_iter(), Duration::from_secs(60));
        // As the thread that looks holds it.
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
