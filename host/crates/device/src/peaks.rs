//! The most that an export's calls have used of what they may use.
//!
//! This limits nothing (the runtime's meters do). It shows an author how close a plugin comes to its limits.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// High-water marks of all instances of one export.
#[derive(Debug, Default)]
pub struct Peaks {
    memory: AtomicU64,
    cpu: AtomicU64,
    handles: AtomicU64,
}

impl Peaks {
    /// Records an instance's use after a call: bytes of memory that it holds, CPU time of the call (to a millisecond),
    /// and the most handles that were alive in it at once.
    pub fn note(&self, memory: u64, cpu: Duration, handles: u32) {
        raise(&self.memory, memory);
        raise(&self.cpu, u64::try_from(cpu.as_nanos()).unwrap_or(u64::MAX));
        raise(&self.handles, handles.into());
    }

    /// Bytes of memory and tables in one instance, at most so far.
    #[must_use]
    pub fn memory(&self) -> u64 {
        self.memory.load(Ordering::Relaxed)
    }

    /// CPU time of one call, at most so far. Zero if each call ended within a millisecond.
    #[must_use]
    pub fn cpu(&self) -> Duration {
        Duration::from_nanos(self.cpu.load(Ordering::Relaxed))
    }

    /// Live handles in one instance, at most so far.
    #[must_use]
    pub fn handles(&self) -> u32 {
        u32::try_from(self.handles.load(Ordering::Relaxed)).unwrap_or(u32::MAX)
    }
}

/// Raises a mark. Most calls set no new mark, and a load costs less than an exchange.
fn raise(mark: &AtomicU64, value: u64) {
    if value > mark.load(Ordering::Relaxed) {
        mark.fetch_max(value, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_of_each_is_kept() {
        let peaks = Peaks::default();
        peaks.note(10, Duration::from_millis(3), 1);
        peaks.note(5, Duration::from_millis(4), 0);
        assert_eq!(peaks.memory(), 10);
        assert_eq!(peaks.cpu(), Duration::from_millis(4));
        assert_eq!(peaks.handles(), 1);
    }
}
