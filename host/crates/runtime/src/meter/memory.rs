//! The memory and the mappings of an instance, charged to its export, its tenant and the process.
//!
//! Memory is that of the instance's memories and tables, and what the host keeps for the instance.

use std::mem::size_of;
use std::sync::Arc;

use device::ExportQuota;
use device::metrics::{Budget, Metrics};
use quota::{Holder, MappingCharge, MemoryCharge};
use wasmtime::ResourceLimiter;

use crate::component::footprint::Footprint;
use crate::component::tunables::FIBER;

/// Bytes of the host for one element of a table.
const TABLE_ELEMENT: u64 = size_of::<usize>() as u64;

/// The most core instances, memories and tables of one component instance. Restrains a component's author: each takes
/// time of the host when it makes an instance.
const PARTS: usize = 64;

/// The limit that refused memory to an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The instance's own limit, `memory`.
    Instance,
    /// A limit that the instance shares with others.
    Shared(Holder),
}

/// What the host couldn't charge for an instance that it was about to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unaffordable {
    /// Memory, by this limit.
    Memory(Refused),
    /// Mappings of the address space, by this holder's limit.
    Mappings(Holder),
}

impl Unaffordable {
    /// The limit that the operator can raise, as a part of a sentence.
    pub(crate) const fn limit(self) -> &'static str {
        match self {
            Self::Memory(Refused::Instance) => "the limit `memory`",
            Self::Memory(Refused::Shared(Holder::Export)) => "the limit `total-memory`",
            Self::Memory(Refused::Shared(Holder::Tenant)) => "the tenant's limit `memory`",
            Self::Memory(Refused::Shared(Holder::Process)) => "the server's `memory`",
            Self::Mappings(Holder::Process) => "the kernel's vm.max_map_count",
            Self::Mappings(_) => "the tenant's limit `mappings`",
        }
    }
}

/// Sums what a store holds, and charges it.
#[derive(Debug)]
pub(crate) struct MemoryMeter {
    limit: u64,
    share: MemoryCharge,
    /// The stack of the store's calls, for as long as the store lives. The instance's own limit doesn't cover it,
    /// because the host chose its size.
    stack: MemoryCharge,
    mappings: MappingCharge,
    /// Bytes that the instance held when it had opened its export.
    ready: u64,
    /// Bytes of the last growth, until it's known whether the system gave them.
    growing: u64,
    refused: Option<Refused>,
    metrics: Arc<Metrics>,
}

impl MemoryMeter {
    /// A meter of an instance that may hold `limit` bytes. It has charged nothing yet.
    pub(crate) fn new(limit: u64, quota: &ExportQuota, metrics: Arc<Metrics>) -> Self {
        Self {
            limit,
            share: MemoryCharge::new(Arc::clone(&quota.memory)),
            stack: MemoryCharge::new(Arc::clone(&quota.memory)),
            mappings: MappingCharge::new(Arc::clone(&quota.tenant.mappings)),
            ready: 0,
            growing: 0,
            refused: None,
            metrics,
        }
    }

    /// Charges what every instance of the component takes, whatever its guest does. To be called before the host makes
    /// it.
    ///
    /// # Errors
    /// The resource that is short, and whose limit it is.
    pub(crate) fn charge(&mut self, footprint: Footprint) -> Result<(), Unaffordable> {
        let mapped = self.mappings.take(footprint.mappings);
        mapped.map_err(|holder| {
            self.metrics.refusals(Budget::Mappings).one();
            Unaffordable::Mappings(holder)
        })?;
        let charged = self
            .charge_stack()
            .and_then(|()| self.grow(footprint.bytes));
        charged.map_err(Unaffordable::Memory)
    }

    fn charge_stack(&mut self) -> Result<(), Refused> {
        self.stack.take(FIBER as u64).map_err(|holder| {
            self.metrics.refusals(Budget::Memory).one();
            Refused::Shared(holder)
        })?;
        self.metrics.memory.rise(self.stack.held());
        Ok(())
    }

    /// The limit that refused memory last, if any did.
    pub(crate) fn refused(&self) -> Option<Refused> {
        self.refused
    }

    /// Called when the instance has opened its export: it needs what it holds now.
    pub(crate) fn ready(&mut self) {
        self.ready = self.held();
    }

    /// Whether the instance has taken half of what was left when it was ready. It may be one that never stops growing.
    pub(crate) fn is_worn(&self) -> bool {
        let left = self.limit.saturating_sub(self.ready);
        self.held().saturating_sub(self.ready) > left / 2
    }

    /// Bytes that the instance holds and that count towards its own limit.
    pub(crate) fn held(&self) -> u64 {
        self.share.held()
    }

    /// Whether a memory or table with elements of `unit` bytes may grow to `desired` elements. Charges the growth,
    /// unless the memory's own maximum forbids it.
    fn allows(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
        unit: u64,
    ) -> bool {
        self.growing = 0;
        let elements = desired.saturating_sub(current) as u64;
        let bytes = elements.saturating_mul(unit);
        let allowed = maximum.is_none_or(|maximum| desired <= maximum) && self.grow(bytes).is_ok();
        if allowed {
            self.growing = bytes;
        }
        allowed
    }

    fn grow(&mut self, bytes: u64) -> Result<(), Refused> {
        let sum = self.share.held().checked_add(bytes);
        let granted = match sum.filter(|sum| *sum <= self.limit) {
            Some(_) => self.share.take(bytes).map_err(Refused::Shared),
            None => Err(Refused::Instance),
        };
        match granted {
            Ok(()) => self.metrics.memory.rise(bytes),
            Err(refused) => {
                self.refused = Some(refused);
                self.metrics.refusals(Budget::Memory).one();
            }
        }
        granted
    }

    /// Returns the last growth, because the system had no memory for it. The host is to blame for what follows.
    fn take_back_growth(&mut self) {
        let bytes = std::mem::take(&mut self.growing);
        if bytes > 0 {
            self.share.give_back(bytes);
            self.metrics.memory.fall(bytes);
            self.refused = Some(Refused::Shared(Holder::Process));
        }
    }
}

impl Drop for MemoryMeter {
    fn drop(&mut self) {
        let held = self.share.held() + self.stack.held();
        self.metrics.memory.fall(held);
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

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.take_back_growth();
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.allows(current, desired, maximum, TABLE_ELEMENT))
    }

    fn table_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.take_back_growth();
        Ok(())
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

#[cfg(test)]
mod tests {
    use device::{ProcessQuota, TenantQuota};
    use nbdbox_config::limits::{Limits, TenantLimits};

    use super::*;

    fn quota(memory: u64, mappings: u64) -> Arc<ExportQuota> {
        let limits = TenantLimits {
            memory,
            mappings,
            ..TenantLimits::default()
        };
        let tenant = TenantQuota::new(&limits, &ProcessQuota::unlimited());
        ExportQuota::new(&Limits::default(), &tenant)
    }

    fn failed() -> wasmtime::Error {
        wasmtime::format_err!("mprotect failed")
    }

    #[test]
    fn memory_that_the_system_refuses_is_returned_and_is_the_hosts_fault() {
        let quota = quota(u64::MAX, u64::MAX);
        let metrics = Arc::new(Metrics::default());
        let mut meter = MemoryMeter::new(1000, &quota, Arc::clone(&metrics));
        assert!(meter.memory_growing(0, 100, None).unwrap());
        assert!(meter.memory_growing(100, 700, None).unwrap());
        meter.memory_grow_failed(failed()).unwrap();
        let held = (meter.held(), quota.memory.used(), metrics.memory.now());
        assert_eq!(held, (100, 100, 100));
        assert_eq!(meter.refused(), Some(Refused::Shared(Holder::Process)));
        assert!(meter.table_growing(0, 10, None).unwrap());
        meter.table_grow_failed(failed()).unwrap();
        assert_eq!(quota.memory.used(), 100);
    }

    /// wasmtime calls it for growth past a table's maximum as well, for which nothing was charged.
    #[test]
    fn a_failure_of_uncharged_growth_returns_nothing() {
        let quota = quota(u64::MAX, u64::MAX);
        let mut meter = MemoryMeter::new(1000, &quota, Arc::default());
        assert!(meter.table_growing(0, 10, Some(20)).unwrap());
        assert!(!meter.table_growing(10, 30, Some(20)).unwrap());
        meter.table_grow_failed(failed()).unwrap();
        meter.table_grow_failed(failed()).unwrap();
        assert_eq!((meter.held(), meter.refused()), (80, None));
    }

    #[test]
    fn a_footprint_is_charged_before_the_instance_is_made_and_returned_after_it() {
        let quota = quota(FIBER as u64 + 900, 8);
        let footprint = |bytes, mappings| Footprint { bytes, mappings };
        let meter = |limit| MemoryMeter::new(limit, &quota, Arc::default());
        let own = Err(Unaffordable::Memory(Refused::Instance));
        assert_eq!(meter(499).charge(footprint(500, 5)), own);
        let (mut first, mut second) = (meter(500), meter(500));
        assert_eq!(first.charge(footprint(500, 5)), Ok(()));
        assert_eq!(first.held(), 500);
        let tenants = Err(Unaffordable::Mappings(Holder::Tenant));
        assert_eq!(second.charge(footprint(500, 4)), tenants);
        let tenants = Err(Unaffordable::Memory(Refused::Shared(Holder::Tenant)));
        assert_eq!(second.charge(footprint(500, 3)), tenants);
        drop((first, second));
        assert_eq!((quota.memory.used(), quota.tenant.mappings.used()), (0, 0));
    }
}
