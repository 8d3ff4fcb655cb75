//! The cores, shared by tenants, and within a tenant by its exports.
//!
//! There are as many slots as cores. A guest that computes on past a tick needs one, and so does a connection whose
//! export has worked for a slice without one. A slot is held from when it's given, while its holder waits for a
//! thread, to the end of the slice. It's paid for all of that time, so a tenant that holds slots without using them
//! gets fewer. A share that finds no free slot queues. The next slot goes to the tenant that had the least so far,
//! measured by its weight, and there to the export that had the least. So a tenant that computes or asks without end
//! takes the cores that nobody else wants, and no others; a tenant that wants little needs no slot, and waits for no
//! more than a slice on its core.
//!
//! A slot comes back when it's dropped, wherever its holder is by then, and goes to the next share at once. So nobody
//! waits for good, as long as each task that was woken is polled or dropped: tasks are, whatever their client does.

mod core_slot;
mod fair;
mod scheduler;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

pub use core_slot::{CoreSlot, CoreTicket, paid_here};

use scheduler::{Scheduler, ShareId};

/// How long a slot is held, and what it costs when it's taken: a tick of the guests' clock. What it has
/// cost is set right when it's given back.
pub const SLICE: Duration = Duration::from_millis(1);

/// The cores of this process.
#[derive(Debug)]
pub struct Cores(Mutex<Scheduler>);

/// A tenant's share of the cores.
#[derive(Debug)]
pub struct CpuQuota {
    cores: Arc<Cores>,
    number: u64,
    /// How many of its own wait, for those who look without the lock.
    length: Arc<AtomicUsize>,
}

/// An export's share of its tenant's.
#[derive(Debug)]
pub struct CpuShare {
    tenant: Arc<CpuQuota>,
    number: u64,
    /// What it has had without a slot and wasn't charged for, in ns.
    owed: AtomicU64,
}

impl Cores {
    /// So many cores, one at least.
    #[must_use]
    pub fn new(cores: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Scheduler::new(cores.max(1)))))
    }

    fn slots(&self) -> MutexGuard<'_, Scheduler> {
        // Nothing that holds the lock panics half-way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes something, and wakes those who got a slot by that.
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
    /// A tenant's share, of this weight.
    #[must_use]
    pub fn new(cores: &Arc<Cores>, weight: u64) -> Arc<Self> {
        let length = Arc::default();
        Arc::new(Self {
            number: cores.slots().join(weight, &length),
            cores: Arc::clone(cores),
            length,
        })
    }

    /// Sets another weight.
    pub fn set(&self, weight: u64) {
        self.cores.slots().set_weight(self.number, weight);
    }
}

impl Drop for CpuQuota {
    fn drop(&mut self) {
        // It has no exports: each holds it.
        self.cores.slots().part(self.number);
    }
}

impl CpuShare {
    /// An export's share of its tenant's, of this weight among its like.
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

    /// Takes note of what was done without a slot: it's charged with the next one.
    pub fn owe(&self, ran: Duration) {
        // 584 years.
        let nanoseconds = u64::try_from(ran.as_nanos()).unwrap_or(u64::MAX);
        self.owed.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    fn take_owed(&self) -> Duration {
        Duration::from_nanos(self.owed.swap(0, Ordering::Relaxed))
    }

    /// Whether its connections need a slot for what they begin: it has had a slice without, or some of its
    /// tenant wait for theirs already.
    #[must_use]
    pub fn must_queue(&self) -> bool {
        let owed = Duration::from_nanos(self.owed.load(Ordering::Relaxed));
        owed >= SLICE || self.is_crowded()
    }

    fn is_crowded(&self) -> bool {
        self.tenant.length.load(Ordering::Relaxed) > 0
    }

    /// Waits for a slot.
    #[must_use]
    pub fn enter(self: &Arc<Self>) -> CoreTicket {
        CoreTicket::new(Arc::clone(self))
    }
}

impl Drop for CpuShare {
    fn drop(&mut self) {
        // Nobody waits: who does holds a part of this.
        let ShareId(tenant, export) = self.id();
        self.cores().slots().part_export(tenant, export);
    }
}
