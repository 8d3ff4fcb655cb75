//! Pauses after failures, so that repeated failures keep nobody busy.

use std::time::{Duration, Instant};

/// The time from a failure to the next attempt.
///
/// The pause doubles with each failure in a row, up to the longest pause, and a success ends it. It's counted from the
/// last failure. Without a clock: the caller passes the time.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    in_a_row: u32,
    not_before: Option<Instant>,
}

impl Backoff {
    /// The first attempt needs no pause. The pause after the first failure is `first`, and no pause exceeds `longest`.
    #[must_use]
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            in_a_row: 0,
            not_before: None,
        }
    }

    /// Notes that an attempt failed at `now`.
    pub fn note_failure(&mut self, now: Instant) {
        // 2^31 times a nanosecond is two seconds: every sensible bound is reached earlier.
        let factor = 1 << self.in_a_row.min(31);
        let pause = self.first.saturating_mul(factor).min(self.longest);
        self.in_a_row = self.in_a_row.saturating_add(1);
        // A pause of centuries overflows: then the next attempt may be made at once, rather than never.
        self.not_before = now.checked_add(pause);
    }

    /// Notes that an attempt succeeded: the next failure counts as the first.
    pub fn note_success(&mut self) {
        self.in_a_row = 0;
        self.not_before = None;
    }

    /// The time until the next attempt; `None` if it may be made at `now`.
    #[must_use]
    pub fn wait(&self, now: Instant) -> Option<Duration> {
        let wait = self.not_before?.saturating_duration_since(now);
        (!wait.is_zero()).then_some(wait)
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "a test needs some instant to count from"
)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_millis(10);
    const LONGEST: Duration = Duration::from_secs(10);

    #[test]
    fn the_first_attempt_may_be_made_at_once() {
        let backoff = Backoff::new(FIRST, LONGEST);
        assert_eq!(backoff.wait(Instant::now()), None);
    }

    #[test]
    fn pauses_double_up_to_a_bound_and_end_with_a_success() {
        let start = Instant::now();
        let mut backoff = Backoff::new(FIRST, LONGEST);
        backoff.note_failure(start);
        assert_eq!(backoff.wait(start), Some(FIRST));
        backoff.note_failure(start);
        assert_eq!(backoff.wait(start), Some(2 * FIRST));
        for _ in 0..100 {
            backoff.note_failure(start);
        }
        assert_eq!(backoff.wait(start), Some(LONGEST));
        backoff.note_success();
        assert_eq!(backoff.wait(start), None);
        backoff.note_failure(start);
        assert_eq!(backoff.wait(start), Some(FIRST));
    }

    #[test]
    fn a_pause_is_counted_from_the_last_failure_and_runs_out() {
        let start = Instant::now();
        let mut backoff = Backoff::new(FIRST, LONGEST);
        backoff.note_failure(start);
        backoff.note_failure(start + FIRST);
        assert_eq!(backoff.wait(start + FIRST), Some(2 * FIRST));
        assert_eq!(backoff.wait(start + 2 * FIRST), Some(FIRST));
        assert_eq!(backoff.wait(start + 3 * FIRST), None);
    }

    #[test]
    fn the_longest_possible_pause_does_no_harm() {
        let start = Instant::now();
        let mut backoff = Backoff::new(Duration::MAX, Duration::MAX);
        backoff.note_failure(start);
        assert_eq!(backoff.wait(start), None);
    }
}
