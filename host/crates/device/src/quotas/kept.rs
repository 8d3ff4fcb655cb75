//! Memory that a connection keeps from one request to the next.

use std::sync::Arc;

use quota::{MemoryCharge, MemoryQuota};

use crate::metrics::Metrics;

/// Bytes that a connection keeps: its export and tenant pay for them, and they're counted for the export. Given back
/// when it's dropped.
#[derive(Debug)]
pub struct KeptMemory {
    charge: MemoryCharge,
    metrics: Arc<Metrics>,
}

impl KeptMemory {
    /// Nothing so far.
    #[must_use]
    pub fn new(quota: &Arc<MemoryQuota>, metrics: &Arc<Metrics>) -> Self {
        Self {
            charge: MemoryCharge::new(Arc::clone(quota)),
            metrics: Arc::clone(metrics),
        }
    }

    /// Whether so many bytes may be kept in all. What was paid for once stays so until [`release`](Self::release), so
    /// that a connection that uses it again and again only compares.
    pub fn cover(&mut self, bytes: u64) -> bool {
        let more = bytes.saturating_sub(self.charge.held());
        if more == 0 {
            return true;
        }
        let paid = self.charge.take(more).is_ok();
        if paid {
            self.metrics.kept.rise(more);
        }
        paid
    }

    /// Gives all of it back.
    pub fn release(&mut self) {
        let held = self.charge.held();
        self.charge.give_back(held);
        self.metrics.kept.fall(held);
    }
}

impl Drop for KeptMemory {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use quota::Holder;

    use super::*;

    #[test]
    fn it_is_paid_for_once_and_given_back() {
        let (quota, metrics) = (MemoryQuota::new(Holder::Tenant, 100), Arc::default());
        let mut kept = KeptMemory::new(&quota, &metrics);
        let all = || (quota.used(), metrics.kept.now());
        assert!(kept.cover(60) && kept.cover(10));
        assert_eq!(all(), (60, 60));
        assert!(!kept.cover(101));
        assert_eq!(all(), (60, 60));
        kept.release();
        assert_eq!(all(), (0, 0));
        assert!(kept.cover(100));
        drop(kept);
        assert_eq!(all(), (0, 0));
    }
}
