//! Who came by a listener and hasn't chosen an export yet.
//!
//! A stranger needs nothing to come but a socket, so each listener has places for so many and no more: those of one
//! listener can't keep the clients of another waiting, nor take all descriptors. When all places are taken and somebody
//! else comes, the one that has been a stranger for longest is closed. So silence gets nobody anything: a new client
//! waits for [`GRACE`] at most, however many are silent.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::occasion::Occasion;

/// Strangers of one listener at once. Restrains whoever can reach it from taking the process's descriptors. Less, and
/// many clients that come at once wait for each other.
pub const STRANGERS: usize = 256;

/// The time that each stranger has, however many others come: a handshake over TLS and a slow network. Longer, and
/// clients wait longer when all places are taken by the silent.
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
    next: u64,
    /// In the order in which they came.
    present: BTreeMap<u64, Present>,
    displacing: Occasion,
}

#[derive(Clone, Debug)]
struct Present {
    since: Instant,
    displaced: CancellationToken,
}

/// A stranger's place, given back when it's dropped.
#[derive(Debug)]
pub(crate) struct Place {
    strangers: Arc<Strangers>,
    number: u64,
    present: Present,
}

impl Strangers {
    /// Nobody came by this listener yet, and `most` may be there at once.
    pub(crate) fn new(listener: &str, most: usize) -> Arc<Self> {
        Arc::new(Self {
            listener: listener.to_owned(),
            most,
            state: Mutex::default(),
            freed: tokio::sync::Notify::new(),
        })
    }

    /// A place for somebody who has come. Waits until there is one, or the oldest stranger has had its time and is
    /// displaced. Dropping it takes no place.
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

    /// A place, or when the oldest stranger has had its time.
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
                "too many clients come and choose no export: the oldest is closed for the next"
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
        // Nothing that holds the lock panics half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Displaces the oldest until there's room for one more; how many. Fails with when the oldest has had its time.
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

    /// One more, and its number.
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
    /// Waits until the place has been given to somebody else.
    pub(crate) async fn displaced(&self) {
        self.present.displaced.cancelled().await;
    }

    /// Waits for what the host does for this client, which is no stranger meanwhile: nobody displaces it, and it holds
    /// up nobody. Who it is has been found out, and its tenant answers for how many there may be.
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

/// A stranger again, and as long as before.
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
    async fn whoever_waits_gets_the_place_that_is_given_back() {
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
