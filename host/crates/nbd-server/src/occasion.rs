//! Limits log lines about frequent events.

use std::time::{Duration, Instant};

/// The least time from one line to the next. Restrains a client that causes the event in a loop.
const PERIOD: Duration = Duration::from_secs(10);

/// A frequent event, which the log reports at most once in a [`PERIOD`].
#[derive(Debug, Default)]
pub(crate) struct Occasion {
    /// When the log last reported the event.
    told: Option<Instant>,
    /// How often the event has happened since.
    count: u64,
}

impl Occasion {
    /// Counts one event. If a line is due, returns how many events it stands for, this one included.
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
    fn the_first_event_is_logged_and_then_one_in_a_period() {
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
