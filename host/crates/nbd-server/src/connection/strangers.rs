//! Strangers: the clients of a listener that haven't chosen an export yet.
//!
//! Anybody who can connect becomes a stranger, so each listener has a limited number of places for them. Strangers of
//! one listener can't delay the clients of another, nor take all descriptors. If all places are taken and another
//! client connects, the server closes the client that has been a stranger for the longest time. So clients gain nothing
//! if they stay silent: a new client waits for [`GRACE`] at most, however many are silent.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::occasion::Occasion;

/// Strangers of one listener at once. Keeps those who can reach the listener from taking all descriptors of the
/// process. If it were smaller, many clients that connect at once would wait for each other.
pub const STRANGERS: usize = 256;

/// Time that each stranger has, however many other clients connect. It suffices for a handshake over TLS and a slow
/// network. If it were longer, clients would wait longer while silent strangers have all places.
const GRACE: Duration = Duration::from_secs(1);

/// The strangers of one listener.
#[derive(Debug)]
pub(crate) struct Strangers {
    listener: String,
    most: usize,
    state: Mutex<State>,
    freed: tokio::sync::Notify,
}

#[derive(Debug, Default)]
struct State {
    /// The number of the next stranger.
    next: u64,
    /// The strangers by their number, so in the order in which they came.
    present: BTreeMap<u64, Present>,
    displacing: Occasion,
}

#[derive(Clone, Debug)]
struct Present {
    since: Instant,
    displaced: CancellationToken,
}

/// A stranger's place. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Place {
    strangers: Arc<Strangers>,
    number: u64,
    present: Present,
}

impl Strangers {
    /// Places for `most` strangers of this listener. None is taken yet.
    pub(crate) fn new(listener: &str, most: usize) -> Arc<Self> {
        Arc::new(Self {
            listener: listener.to_owned(),
            most,
            state: Mutex::default(),
            freed: tokio::sync::Notify::new(),
        })
    }

    /// Takes a place for a new client. Waits until a place is free, or the oldest stranger has had its time and is
    /// displaced. Dropping the future takes no place.
    pub(crate) async fn enter(self: &Arc<Self>) -> Place {
        loop {
            let freed = self.freed.notified();
            match self.try_enter(Instant::now()) {
                Ok(place) => return place,
                Err(until) => tokio::select! {
                    () = freed => {}
                    () = sleep_until(until) => {}
                },
            }
        }
    }

    /// Takes a place, or returns when the oldest stranger will have had its time.
    fn try_enter(self: &Arc<Self>, now: Instant) -> Result<Place, Instant> {
        let mut state = self.state();
        let displaced = state.make_room(self.most, now);
        let entered = displaced.map(|displaced| (displaced > 0, state.add(now)));
        let told = match entered {
            Ok((true, _)) => state.displacing.note(now.into_std()),
            _ => None,
        };
        drop(state);
        if let Some(times) = told {
            tracing::warn!(
                target: "nbdbox::server",
                listener = self.listener,
                times,
                "too many clients connect and choose no export: closed the oldest for the next"
            );
        }
        let (_, (number, present)) = entered?;
        Ok(Place {
            strangers: Arc::clone(self),
            number,
            present,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code that holds the lock panics halfway through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Displaces the oldest strangers until there is room for one more, and returns how many. If the oldest hasn't had
    /// its time yet, the error is when it will have.
    fn make_room(&mut self, most: usize, now: Instant) -> Result<usize, Instant> {
        let mut displaced = 0;
        while self.present.len() >= most
            && let Some(oldest) = self.present.first_entry()
        {
            let until = oldest.get().since + GRACE;
            if now < until {
                return Err(until);
            }
            oldest.remove().displaced.cancel();
            displaced += 1;
        }
        Ok(displaced)
    }

    /// Adds a stranger, and returns its number.
    fn add(&mut self, now: Instant) -> (u64, Present) {
        let number = self.next;
        self.next += 1;
        let present = Present {
            since: now,
            displaced: CancellationToken::new(),
        };
        self.present.insert(number, present.clone());
        (number, present)
    }
}

impl Place {
    /// Waits until the server gives the place to another client. Dropping the future is safe.
    pub(crate) async fn displaced(&self) {
        self.present.displaced.cancelled().await;
    }

    /// Waits for work of the host for this client. Meanwhile the client is no stranger: no other client displaces it,
    /// and it takes no place. The server knows who the client is by then, and the limits of its tenant bound how many
    /// such clients there are. Dropping the future drops `work` and makes the client a stranger again.
    pub(crate) async fn lend<F: Future>(&self, work: F) -> F::Output {
        let _returns = Returns(self);
        self.leave();
        work.await
    }

    fn leave(&self) {
        self.strangers.state().present.remove(&self.number);
        self.strangers.freed.notify_one();
    }
}

/// Makes a client a stranger again when dropped, with the age that it would have without the loan.
struct Returns<'a>(&'a Place);

impl Drop for Returns<'_> {
    fn drop(&mut self) {
        let Place {
            strangers,
            number,
            present,
        } = self.0;
        if !present.displaced.is_cancelled() {
            let mut state = strangers.state();
            state.present.insert(*number, present.clone());
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn is_displaced(place: &Place) -> bool {
        place.displaced().now_or_never().is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_is_displaced_once_it_has_had_its_time() {
        let strangers = Strangers::new("", 2);
        let first = strangers.enter().await;
        tokio::time::advance(GRACE / 2).await;
        let second = strangers.enter().await;
        assert!(strangers.enter().now_or_never().is_none());
        assert!(!is_displaced(&first));
        tokio::time::advance(GRACE / 2).await;
        let third = strangers.enter().now_or_never().unwrap();
        assert!(is_displaced(&first) && !is_displaced(&second) && !is_displaced(&third));
        assert!(strangers.enter().now_or_never().is_none());
        drop(first);
        assert!(
            strangers.enter().now_or_never().is_none(),
            "its place is taken"
        );
        drop(third);
        assert!(strangers.enter().now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiting_client_gets_the_place_that_is_given_back() {
        let strangers = Strangers::new("", 1);
        let first = strangers.enter().await;
        let mut next = std::pin::pin!(strangers.enter());
        assert!(next.as_mut().now_or_never().is_none());
        drop(first);
        assert!(next.now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_waits_for_the_host_is_no_stranger() {
        let strangers = Strangers::new("", 1);
        let first = strangers.enter().await;
        tokio::time::advance(2 * GRACE).await;
        let lent = first.lend(async {
            let second = strangers.enter().now_or_never();
            assert!(second.is_some());
            assert!(!is_displaced(&first));
            second
        });
        drop(lent.await);
        assert!(!is_displaced(&first));
        let _third = strangers.enter().await;
        assert!(
            is_displaced(&first),
            "it's a stranger again, and the oldest"
        );
    }
}
