//! The cores of a process, shared by tenants, and within a tenant by its exports.
//!
//! There are as many slots as the server has worker threads. A guest needs a slot to compute on past a tick, and so
//! does a connection whose export has worked for a slice without one. A holder has its slot from the moment at which
//! it's given, while it waits for a thread, to the end of its slice. It pays for all of that time, so a tenant that
//! holds slots without using them gets fewer.
//!
//! If no slot is free, a share queues. The next slot goes to the tenant that had the least so far, measured by its
//! weight, and within the tenant to the export that had the least. So a tenant that computes or sends requests without
//! end gets the cores that nobody else wants, and no others. A tenant that wants little needs no slot, and waits at
//! most a slice for its core.
//!
//! A dropped slot, wherever its holder is then, goes to the next share at once. So nobody waits for ever, as long as
//! each woken task is polled or dropped, which tokio does whatever a client does.

mod core_slot;
mod fair;
mod scheduler;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

pub use core_slot::{CoreSlot, CoreTicket, paid_here};

use scheduler::{Scheduler, ShareId};

/// How long a holder has its slot: a tick of the guests' clock. A slot costs this when it's given; the cost is
/// corrected when it's returned.
pub const SLICE: Duration = Duration::from_millis(1);

/// The cores of this process.
#[derive(Debug)]
pub struct Cores(Mutex<Scheduler>);

/// A tenant's share of the cores.
#[derive(Debug)]
pub struct CpuQuota {
    cores: Arc<Cores>,
    number: u64,
    /// How many tickets of its exports wait, readable without the lock.
    length: Arc<AtomicUsize>,
}

/// An export's share of its tenant's share.
#[derive(Debug)]
pub struct CpuShare {
    tenant: Arc<CpuQuota>,
    number: u64,
    /// Time that the export has had without a slot and hasn't been charged for, in ns.
    owed: AtomicU64,
}

impl Cores {
    /// `cores` slots, one at least.
    #[must_use]
    pub fn new(cores: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Scheduler::new(cores.max(1)))))
    }

    fn slots(&self) -> MutexGuard<'_, Scheduler> {
        // No code panics half-way through a change while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a change, and wakes the tasks that get a slot by it.
    fn change(&self, change: impl FnOnce(&mut Scheduler, Instant)) {
        let now = Instant::now();
        let mut slots = self.slots();
        change(&mut slots, now);
        let woken = slots.hand_out(now);
        drop(slots);
        woken.into_iter().for_each(Waker::wake);
    }
}

impl CpuQuota {
    /// A tenant's share. `weight` is relative to those of other tenants.
    #[must_use]
    pub fn new(cores: &Arc<Cores>, weight: u64) -> Arc<Self> {
        let length = Arc::default();
        Arc::new(Self {
            number: cores.slots().join(weight, &length),
            cores: Arc::clone(cores),
            length,
        })
    }

    /// Replaces the weight.
    pub fn set(&self, weight: u64) {
        self.cores.slots().set_weight(self.number, weight);
    }
}

impl Drop for CpuQuota {
    fn drop(&mut self) {
        // It has no exports left: each export holds it.
        self.cores.slots().part(self.number);
    }
}

impl CpuShare {
    /// An export's share. `weight` is relative to those of the tenant's other exports.
    #[must_use]
    pub fn new(tenant: &Arc<CpuQuota>, weight: u64) -> Arc<Self> {
        let number = tenant.cores.slots().join_export(tenant.number, weight);
        Arc::new(Self {
            tenant: Arc::clone(tenant),
            number,
            owed: AtomicU64::new(0),
        })
    }

    fn id(&self) -> ShareId {
        ShareId(self.tenant.number, self.number)
    }

    fn cores(&self) -> &Cores {
        &self.tenant.cores
    }

    /// Notes time that the export ran without a slot. It's charged with the next slot.
    pub fn owe(&self, ran: Duration) {
        // The conversion fails only after 584 years.
        let nanoseconds = u64::try_from(ran.as_nanos()).unwrap_or(u64::MAX);
        self.owed.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    fn take_owed(&self) -> Duration {
        Duration::from_nanos(self.owed.swap(0, Ordering::Relaxed))
    }

    /// Whether the export's connections need a slot for further work: the export has run for a slice without one, or
    /// the tenant already has tickets that wait.
    #[must_use]
    pub fn must_queue(&self) -> bool {
        let owed = Duration::from_nanos(self.owed.load(Ordering::Relaxed));
        owed >= SLICE || self.is_crowded()
    }

    fn is_crowded(&self) -> bool {
        self.tenant.length.load(Ordering::Relaxed) > 0
    }

    /// Requests a slot. The ticket is a future; it queues when it's first polled.
    #[must_use]
    pub fn enter(self: &Arc<Self>) -> CoreTicket {
        CoreTicket::new(Arc::clone(self))
    }
}

impl Drop for CpuShare {
    fn drop(&mut self) {
        // No ticket waits: each holds this share.
        let ShareId(tenant, export) = self.id();
        self.cores().slots().part_export(tenant, export);
    }
}
