//! The most that an export's calls have taken of what they may take.
//!
//! Not for stopping anything (the meters of `plugin` do that): for telling an author how near the
//! limits a plugin comes.

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
    /// Takes note of an instance after a call: bytes of memory that it holds, CPU time of the call
    /// (to a millisecond), the most handles that were ever alive in it.
    pub fn note(&self, memory: u64, cpu: Duration, handles: u32) {
        raise(&self.memory, memory);
        raise(&self.cpu, u64::try_from(cpu.as_nanos()).unwrap_or(u64::MAX));
        raise(&self.handles, handles.into());
    }

    /// Bytes of memory and tables in one instance.
    #[must_use]
    pub fn memory(&self) -> u64 {
        self.memory.load(Ordering::Relaxed)
    }

    /// CPU time of one call. Zero for calls that end within a millisecond.
    #[must_use]
    pub fn cpu(&self) -> Duration {
        Duration::from_nanos(self.cpu.load(Ordering::Relaxed))
    }

    /// Live handles in one instance.
    #[must_use]
    pub fn handles(&self) -> u32 {
        u32::try_from(self.handles.load(Ordering::Relaxed)).unwrap_or(u32::MAX)
    }
}

/// Most calls set no new mark: a load costs less than an exchange.
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
