//! How long a connection may go on beginning requests of which some turn out to wait.

use std::time::{Duration, Instant};

/// What a connection has spent of that time in one go.
#[derive(Debug, Default)]
pub(super) struct WaitBudget {
    /// When a request had to wait for the first time.
    since: Option<Instant>,
    over: bool,
}

impl WaitBudget {
    /// A request has to wait, of which there may be any number within `most`. Time counts only from one that waits to
    /// another: most requests don't wait, and cost no look at the clock.
    pub(super) fn note(&mut self, now: Instant, most: Duration) {
        let since = *self.since.get_or_insert(now);
        self.over = now.saturating_duration_since(since) >= most;
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
        let most = Duration::from_micros(500);
        let start = Instant::now();
        let mut budget = WaitBudget::default();
        for _ in 0..3 {
            budget.note(start, most);
            assert!(!budget.is_over());
        }
        budget.note(start + most - Duration::from_nanos(1), most);
        assert!(!budget.is_over(), "it isn't used up");
        budget.note(start + most, most);
        assert!(budget.is_over());
    }
}
