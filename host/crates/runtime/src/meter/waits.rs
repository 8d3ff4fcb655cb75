//! The waits of a call that its wall clock doesn't count: for the layer below, which has clocks of its own, for a blob,
//! and for a turn on the cores.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The waits of one store's current call. Clones are of the same store.
#[derive(Clone, Debug, Default)]
pub(crate) struct Waits(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Whether the call has waited at all. Most calls haven't, and need no lock.
    used: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    done: Duration,
    since: Option<Instant>,
}

impl Waits {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that holds the lock panics half-way through a change.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a call: it has waited for nothing yet.
    pub(crate) fn begin(&self) {
        if self.0.used.load(Ordering::Relaxed) {
            self.0.used.store(false, Ordering::Relaxed);
            *self.state() = State::default();
        }
    }

    /// Begins a wait.
    pub(crate) fn enter(&self) {
        self.0.used.store(true, Ordering::Relaxed);
        self.state().since = Some(Instant::now());
    }

    /// Ends the wait.
    pub(crate) fn leave(&self) {
        let mut state = self.state();
        let waited = state.since.take().map(|since| since.elapsed());
        state.done += waited.unwrap_or_default();
    }

    /// The time of all waits of the call so far, including one that goes on.
    pub(crate) fn so_far(&self) -> Duration {
        let state = self.state();
        state.done + state.since.map_or(Duration::ZERO, |since| since.elapsed())
    }
}
