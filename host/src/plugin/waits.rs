//! Time that a call spends waiting for the layer below, which has a clock of its own: it isn't the
//! filter's that waits.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The waits of one store's current call, shared with whoever times it.
#[derive(Clone, Debug, Default)]
pub(super) struct Waits(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    done: Duration,
    since: Option<Instant>,
}

impl Waits {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that holds the lock panics half-way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call begins.
    pub(super) fn begin(&self) {
        *self.state() = State::default();
    }

    /// The layer below has the word.
    pub(super) fn enter(&self) {
        self.state().since = Some(Instant::now());
    }

    /// It has answered.
    pub(super) fn leave(&self) {
        let mut state = self.state();
        let waited = state.since.take().map(|since| since.elapsed());
        state.done += waited.unwrap_or_default();
    }

    /// What the call has waited so far.
    pub(super) fn so_far(&self) -> Duration {
        let state = self.state();
        state.done + state.since.map_or(Duration::ZERO, |since| since.elapsed())
    }
}
