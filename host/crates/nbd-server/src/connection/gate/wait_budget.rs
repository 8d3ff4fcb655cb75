//! Bounds how long a connection begins requests after one of them had to wait.

use std::time::{Duration, Instant};

/// The budget of one go.
#[derive(Debug, Default)]
pub(super) struct WaitBudget {
    /// When a request of this go had to wait for the first time.
    since: Option<Instant>,
    over: bool,
}

impl WaitBudget {
    /// Notes that a request has to wait. The budget is over if the first such request was at least `most` ago. Requests
    /// that don't wait, as most, need no look at the clock.
    pub(super) fn note(&mut self, now: Instant, most: Duration) {
        let since = *self.since.get_or_insert(now);
        self.over = now.saturating_duration_since(since) >= most;
    }

    /// Whether the budget is used up, so that others get their turn.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_wait_uses_up_the_budget() {
        let most = Duration::from_micros(500);
        let start = Instant::now();
        let mut budget = WaitBudget::default();
        for _ in 0..3 {
            budget.note(start, most);
            assert!(!budget.is_over());
        }
        budget.note(start + most - Duration::from_nanos(1), most);
        assert!(!budget.is_over(), "a nanosecond is left");
        budget.note(start + most, most);
        assert!(budget.is_over());
    }
}
