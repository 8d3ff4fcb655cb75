//! Time that a call spends waiting for others, which isn't its own: for the layer below, which has a clock of
//! its own, and for its turn on the cores.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The waits of one store's current call, shared with whoever times it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Waits(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Whether the call has waited at all: most need no lock.
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

    /// A call begins.
    pub(crate) fn begin(&self) {
        if self.0.used.load(Ordering::Relaxed) {
            self.0.used.store(false, Ordering::Relaxed);
            *self.state() = State::default();
        }
    }

    /// Others have the word.
    pub(crate) fn enter(&self) {
        self.0.used.store(true, Ordering::Relaxed);
        self.state().since = Some(Instant::now());
    }

    /// The call goes on.
    pub(crate) fn leave(&self) {
        let mut state = self.state();
        let waited = state.since.take().map(|since| since.elapsed());
        state.done += waited.unwrap_or_default();
    }

    /// What the call has waited so far.
    pub(crate) fn so_far(&self) -> Duration {
        let state = self.state();
        state.done + state.since.map_or(Duration::ZERO, |since| since.elapsed())
    }
}
