//! A line of the log about what may happen often.

use std::time::{Duration, Instant};

/// The least time from one line to the next.
const PERIOD: Duration = Duration::from_secs(10);

/// What happens again and again, and is told once in a [`PERIOD`].
#[derive(Debug, Default)]
pub(crate) struct Occasion {
    told: Option<Instant>,
    /// How often it happened since.
    count: u64,
}

impl Occasion {
    /// It happens: how often it did since it was told last, this time included, if it's to be told now.
    pub(crate) fn note(&mut self, now: Instant) -> Option<u64> {
        self.count += 1;
        let recent = |told| now.saturating_duration_since(told) < PERIOD;
        if self.told.is_some_and(recent) {
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_at_once_and_then_once_in_a_period() {
        let start = Instant::now();
        let mut occasion = Occasion::default();
        assert_eq!(occasion.note(start), Some(1));
        for _ in 0..5 {
            assert_eq!(occasion.note(start + PERIOD / 2), None);
        }
        assert_eq!(occasion.note(start + PERIOD), Some(6));
        assert_eq!(occasion.note(start + PERIOD), None);
    }
}
