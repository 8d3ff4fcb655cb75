//! How long a connection may go on beginning requests of which some turn out to wait.

use std::time::{Duration, Instant};

/// What may go by from the first request that waits to the last. Restrains a connection whose guests all
/// compute: each runs for a tick (1 ms) before it yields, and others on this thread are to get their turn.
/// What waits for a disk takes a few microseconds.
const MOST: Duration = Duration::from_micros(500);

/// What a connection has spent of that time in one go.
#[derive(Debug, Default)]
pub(in crate::connection) struct WaitBudget {
    /// Since when a request has waited.
    since: Option<Instant>,
    over: bool,
}

impl WaitBudget {
    /// A request waits. Only now the clock is looked at: most never do.
    pub(in crate::connection) fn note_wait(&mut self) {
        match self.since {
            None => self.since = Some(Instant::now()),
            Some(since) => self.over = since.elapsed() >= MOST,
        }
    }

    /// Whether it's time for others.
    pub(in crate::connection) fn is_over(&self) -> bool {
        self.over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_with_a_wait_that_comes_late() {
        let mut budget = WaitBudget::default();
        for _ in 0..3 {
            assert!(!budget.is_over());
            budget.since = None;
            budget.note_wait();
        }
        std::thread::sleep(MOST);
        assert!(!budget.is_over(), "nothing has waited since");
        budget.note_wait();
        assert!(budget.is_over());
    }
}
