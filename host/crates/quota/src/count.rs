//! A number of things that a tenant may have at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A limit on a number of things.
#[derive(Debug)]
pub struct CountQuota {
    limit: AtomicUsize,
    used: AtomicUsize,
}

/// One of the things; returned when it's dropped.
#[derive(Debug)]
pub struct CountPermit(Arc<CountQuota>);

impl CountQuota {
    /// A quota of `limit`.
    #[must_use]
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit: AtomicUsize::new(limit),
            used: AtomicUsize::new(0),
        })
    }

    /// Replaces the limit.
    pub fn set(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// The number of things in use.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Whether one more would fit.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.used() < self.limit.load(Ordering::Relaxed)
    }

    /// Takes one more; `None` if it doesn't fit.
    #[must_use]
    pub fn take(self: &Arc<Self>) -> Option<CountPermit> {
        let limit = self.limit.load(Ordering::Relaxed);
        let more = |used: usize| (used < limit).then_some(used + 1);
        let taken = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.ok().map(|_| CountPermit(Arc::clone(self)))
    }
}

impl Drop for CountPermit {
    fn drop(&mut self) {
        self.0.used.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_the_limit_and_not_one_more() {
        let quota = CountQuota::new(2);
        let one = quota.take().unwrap();
        let _two = quota.take().unwrap();
        assert!(!quota.has_room());
        assert!(quota.take().is_none());
        drop(one);
        assert!(quota.take().is_some());
    }

    #[test]
    fn a_lower_limit_takes_nothing_away_and_gives_nothing_more() {
        let quota = CountQuota::new(2);
        let (one, two) = (quota.take(), quota.take());
        quota.set(1);
        drop(one);
        assert!(quota.take().is_none());
        drop(two);
        assert!(quota.take().is_some());
    }
}
