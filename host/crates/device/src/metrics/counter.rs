//! Counters and levels that many threads change without a lock.

use std::sync::atomic::{AtomicU64, Ordering};

/// A counter, which wraps after 2^64.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    pub fn one(&self) {
        self.add(1);
    }

    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The count so far.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// An amount that rises and falls, its highest value and the sum of all rises.
#[derive(Debug, Default)]
pub struct Level {
    now: AtomicU64,
    peak: AtomicU64,
    total: Counter,
}

impl Level {
    /// Raises the amount.
    pub fn rise(&self, amount: u64) {
        let now = self.now.fetch_add(amount, Ordering::Relaxed) + amount;
        self.peak.fetch_max(now, Ordering::Relaxed);
        self.total.add(amount);
    }

    /// Lowers the amount, by no more than it was raised before.
    pub fn fall(&self, amount: u64) {
        self.now.fetch_sub(amount, Ordering::Relaxed);
    }

    /// The amount now.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    /// The highest amount so far.
    #[must_use]
    pub fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }

    /// The sum of all rises.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_knows_now_peak_and_total() {
        let level = Level::default();
        level.rise(3);
        level.rise(2);
        level.fall(4);
        level.rise(1);
        assert_eq!((level.now(), level.peak(), level.total()), (2, 5, 6));
    }
}
