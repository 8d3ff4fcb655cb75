//! How long one go takes up requests, of which some turn out to wait.

use std::time::{Duration, Instant};

/// What may go by from the first request that waits to the last. Restrains a connection whose guests all
/// compute: each runs for a tick (1 ms) before it yields, and others on this thread are to get their turn.
/// What waits for a disk takes a few microseconds.
const LONG: Duration = Duration::from_micros(500);

/// A connection's patience in one go.
#[derive(Debug, Default)]
pub(super) struct Patience {
    /// Since when a request has waited.
    since: Option<Instant>,
    over: bool,
}

impl Patience {
    /// A request waits. Only now the clock is looked at: most never do.
    pub(super) fn note_wait(&mut self) {
        match self.since {
            None => self.since = Some(Instant::now()),
            Some(since) => self.over = since.elapsed() >= LONG,
        }
    }

    /// Whether it's time for others.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_with_a_wait_that_comes_late() {
        let mut patience = Patience::default();
        for _ in 0..3 {
            assert!(!patience.is_over());
            patience.since = None;
            patience.note_wait();
        }
        std::thread::sleep(LONG);
        assert!(!patience.is_over(), "nothing has waited since");
        patience.note_wait();
        assert!(patience.is_over());
    }
}
