//! Guest memory of an export or a tenant.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of guest memory that the instances of an export or of a tenant may hold together.
///
/// Restrains one tenant from taking the machine's memory by many instances, each within its own
/// limit.
#[derive(Debug)]
pub struct MemoryQuota {
    limit: AtomicU64,
    used: AtomicU64,
    /// The tenant's, for an export's: what is taken from this is taken from that too.
    above: Option<Arc<Self>>,
}

impl MemoryQuota {
    /// A quota of `limit` bytes.
    #[must_use]
    pub fn new(limit: u64) -> Arc<Self> {
        Self::made(limit, None)
    }

    /// A quota of `limit` bytes within another.
    #[must_use]
    pub fn within(above: &Arc<Self>, limit: u64) -> Arc<Self> {
        Self::made(limit, Some(Arc::clone(above)))
    }

    fn made(limit: u64, above: Option<Arc<Self>>) -> Arc<Self> {
        Arc::new(Self {
            limit: AtomicU64::new(limit),
            used: AtomicU64::new(0),
            above,
        })
    }

    /// No limit but those of the exports.
    #[must_use]
    pub fn unlimited() -> Arc<Self> {
        Self::new(u64::MAX)
    }

    /// Sets another limit.
    pub fn set(&self, limit: u64) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// Bytes in use now.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: u64) -> bool {
        let limit = self.limit.load(Ordering::Relaxed);
        let more = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= limit);
        let taken = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        if taken.is_err() {
            return false;
        }
        let granted = self.above.as_ref().is_none_or(|above| above.take(bytes));
        if !granted {
            self.used.fetch_sub(bytes, Ordering::Relaxed);
        }
        granted
    }

    fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
        if let Some(above) = &self.above {
            above.give_back(bytes);
        }
    }
}

/// A part of a quota, given back when it's dropped.
#[derive(Debug)]
pub struct MemoryCharge {
    quota: Arc<MemoryQuota>,
    held: u64,
}

impl MemoryCharge {
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
        let taken = self.quota.take(bytes);
        if taken {
            self.held += bytes;
        }
        taken
    }
}

impl Drop for MemoryCharge {
    fn drop(&mut self) {
        self.quota.give_back(self.held);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_together_stay_under_the_quota_and_are_given_back() {
        let quota = MemoryQuota::new(100);
        let mut one = MemoryCharge::new(Arc::clone(&quota));
        let mut two = MemoryCharge::new(Arc::clone(&quota));
        assert!(one.take(60));
        assert!(!two.take(41));
        assert!(!two.take(u64::MAX));
        assert!(two.take(40));
        drop(one);
        assert_eq!(quota.used(), 40);
        assert!(two.take(60));
    }

    #[test]
    fn what_the_tenant_refuses_is_not_taken_from_the_export() {
        let tenant = MemoryQuota::new(50);
        let export = MemoryQuota::within(&tenant, 100);
        let mut share = MemoryCharge::new(Arc::clone(&export));
        assert!(!share.take(60));
        assert_eq!((export.used(), tenant.used(), share.held()), (0, 0, 0));
        assert!(share.take(50));
        tenant.set(1000);
        assert!(!share.take(51), "past the export's own");
        drop(share);
        assert_eq!((export.used(), tenant.used()), (0, 0));
    }
}
