//! Guest memory of one tenant.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of guest memory that a tenant's instances may hold together.
///
/// Restrains one tenant from taking the machine's memory by many exports, each within its own
/// limit.
#[derive(Debug)]
pub struct MemoryQuota {
    limit: AtomicU64,
    used: AtomicU64,
}

impl MemoryQuota {
    /// A quota of `limit` bytes.
    #[must_use]
    pub fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self {
            limit: AtomicU64::new(limit),
            used: AtomicU64::new(0),
        })
    }

    /// No limit but those of the exports.
    #[must_use]
    pub fn unlimited() -> Arc<Self> {
        Self::new(u64::MAX)
    }

    /// Sets another limit.
    pub(super) fn set(&self, limit: u64) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// Bytes in use now.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }
}

/// A part of a quota, given back when it's dropped.
#[derive(Debug)]
pub struct MemoryShare {
    quota: Arc<MemoryQuota>,
    held: u64,
}

impl MemoryShare {
    /// Nothing so far.
    #[must_use]
    pub fn new(quota: Arc<MemoryQuota>) -> Self {
        Self { quota, held: 0 }
    }

    /// Bytes held.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.held
    }

    /// Takes `bytes` more, or nothing.
    #[must_use]
    pub fn take(&mut self, bytes: u64) -> bool {
        let limit = self.quota.limit.load(Ordering::Relaxed);
        let taken = self
            .quota
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(bytes).filter(|sum| *sum <= limit)
            });
        if taken.is_ok() {
            self.held += bytes;
        }
        taken.is_ok()
    }
}

impl Drop for MemoryShare {
    fn drop(&mut self) {
        self.quota.used.fetch_sub(self.held, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_together_stay_under_the_quota_and_are_given_back() {
        let quota = MemoryQuota::new(100);
        let mut one = MemoryShare::new(Arc::clone(&quota));
        let mut two = MemoryShare::new(Arc::clone(&quota));
        assert!(one.take(60));
        assert!(!two.take(41));
        assert!(!two.take(u64::MAX));
        assert!(two.take(40));
        drop(one);
        assert_eq!(quota.used(), 40);
        assert!(two.take(60));
    }
}
