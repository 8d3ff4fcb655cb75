//! The memory of an instance: all its memories and tables together, charged to its export and tenant.

use std::mem::size_of;
use std::sync::Arc;

use device::metrics::{Budget, Metrics};
use quota::{MemoryCharge, MemoryQuota};
use wasmtime::ResourceLimiter;

/// Bytes that a table's element takes in the host.
const TABLE_ELEMENT: u64 = size_of::<usize>() as u64;

/// Core instances, memories and tables in one component instance. Restrains a component from being
/// made of thousands, each of which costs the host bookkeeping outside this meter.
const PARTS: usize = 64;

/// Sums what a store holds.
#[derive(Debug)]
pub(crate) struct MemoryMeter {
    limit: u64,
    share: MemoryCharge,
    /// Bytes that were held when the instance was open.
    ready: u64,
    refused: bool,
    metrics: Arc<Metrics>,
}

impl MemoryMeter {
    pub(crate) fn new(limit: u64, quota: Arc<MemoryQuota>, metrics: Arc<Metrics>) -> Self {
        Self {
            limit,
            share: MemoryCharge::new(quota),
            ready: 0,
            refused: false,
            metrics,
        }
    }

    /// Whether the guest was ever refused memory.
    pub(crate) fn refused(&self) -> bool {
        self.refused
    }

    /// The instance is open: what it holds now it needs.
    pub(crate) fn ready(&mut self) {
        self.ready = self.held();
    }

    /// Whether it has taken half of what was left then: it may be one that grows for ever.
    pub(crate) fn is_worn(&self) -> bool {
        let left = self.limit.saturating_sub(self.ready);
        self.held().saturating_sub(self.ready) > left / 2
    }

    /// Bytes that the instance holds.
    pub(crate) fn held(&self) -> u64 {
        self.share.held()
    }

    /// Whether something may grow that has elements of `unit` bytes. What its own maximum forbids
    /// isn't charged.
    fn allows(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
        unit: u64,
    ) -> bool {
        let elements = desired.saturating_sub(current) as u64;
        maximum.is_none_or(|maximum| desired <= maximum) && self.grow(elements.saturating_mul(unit))
    }

    fn grow(&mut self, bytes: u64) -> bool {
        let fits = self
            .share
            .held()
            .checked_add(bytes)
            .is_some_and(|sum| sum <= self.limit);
        let granted = fits && self.share.take(bytes);
        if !granted {
            self.refused = true;
            self.metrics.refusals(Budget::Memory).one();
        } else {
            self.metrics.memory.rise(bytes);
        }
        granted
    }
}

impl Drop for MemoryMeter {
    fn drop(&mut self) {
        self.metrics.memory.fall(self.share.held());
    }
}

impl ResourceLimiter for MemoryMeter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.allows(current, desired, maximum, 1))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.allows(current, desired, maximum, TABLE_ELEMENT))
    }

    fn instances(&self) -> usize {
        PARTS
    }

    fn tables(&self) -> usize {
        PARTS
    }

    fn memories(&self) -> usize {
        PARTS
    }
}
