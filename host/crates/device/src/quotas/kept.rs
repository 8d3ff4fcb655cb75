//! Memory that a connection keeps from one request to the next.

use std::sync::Arc;

use quota::{MemoryCharge, MemoryQuota};

use crate::metrics::Metrics;

/// Memory that a connection keeps. Its export and tenant pay for it, and the export's metrics show it. Returned when
/// this is dropped.
#[derive(Debug)]
pub struct KeptMemory {
    charge: MemoryCharge,
    metrics: Arc<Metrics>,
}

impl KeptMemory {
    /// An account without any memory.
    #[must_use]
    pub fn new(quota: &Arc<MemoryQuota>, metrics: &Arc<Metrics>) -> Self {
        Self {
            charge: MemoryCharge::new(Arc::clone(quota)),
            metrics: Arc::clone(metrics),
        }
    }

    /// Makes sure that `bytes` bytes in all are charged; `false` if a quota denies that. What was charged stays charged
    /// until [`release`](Self::release), so that a connection that uses its buffers again only compares two numbers.
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

    /// Returns all of it.
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
    fn kept_memory_is_charged_once_and_returned() {
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
