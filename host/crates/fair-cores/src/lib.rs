//! The cores, shared by tenants, and within a tenant by its exports.
//!
//! There are as many places as cores. A guest that goes on past a tick needs one, and so does a connection
//! whose export has had a slice's time without. It's held from when it's given, while its holder stands in
//! line for a thread, to the end of the slice, and paid for all of that time: who takes places without using
//! them has the less of them. Who finds none waits, and the next place is for the tenant that had the least
//! so far, measured by its weight, and there for the export that had the least. So a tenant that computes
//! or asks without end takes the cores that nobody else wants, and no others; and who wants little needs no
//! place, and stands behind no more than a slice on its core.
//!
//! A place comes back when it's dropped, wherever its holder is by then, and goes to the next at once. So
//! nobody waits for good, as long as who was woken is polled or dropped: tasks do so whatever their client
//! does.

mod fair;
mod place;
mod places;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

pub use place::{Entering, Place, paid_here};

use places::{Places, Whose};

/// How long a place is held, and what it costs when it's taken: a tick of the guests' clock. What it has
/// cost is set right when it's given back.
pub const SLICE: Duration = Duration::from_millis(1);

/// The cores of this process.
#[derive(Debug)]
pub struct Cores(Mutex<Places>);

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
    /// What it has had without a place and wasn't charged for, in ns.
    owed: AtomicU64,
}

impl Cores {
    /// So many cores, one at least.
    #[must_use]
    pub fn new(cores: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Places::new(cores.max(1)))))
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        // Nothing that holds the lock panics half-way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes something, and wakes those who got a place by that.
    fn change(&self, change: impl FnOnce(&mut Places, Instant)) {
        let now = Instant::now();
        let mut places = self.places();
        change(&mut places, now);
        let woken = places.hand_out(now);
        drop(places);
        woken.into_iter().for_each(Waker::wake);
    }
}

impl CpuQuota {
    /// A tenant's share, of this weight.
    #[must_use]
    pub fn new(cores: &Arc<Cores>, weight: u64) -> Arc<Self> {
        let length = Arc::default();
        Arc::new(Self {
            number: cores.places().join(weight, &length),
            cores: Arc::clone(cores),
            length,
        })
    }

    /// Sets another weight.
    pub fn set(&self, weight: u64) {
        self.cores.places().set_weight(self.number, weight);
    }
}

impl Drop for CpuQuota {
    fn drop(&mut self) {
        // It has no exports: each holds it.
        self.cores.places().part(self.number);
    }
}

impl CpuShare {
    /// An export's share of its tenant's, of this weight among its like.
    #[must_use]
    pub fn new(tenant: &Arc<CpuQuota>, weight: u64) -> Arc<Self> {
        let number = tenant.cores.places().join_export(tenant.number, weight);
        Arc::new(Self {
            tenant: Arc::clone(tenant),
            number,
            owed: AtomicU64::new(0),
        })
    }

    fn whose(&self) -> Whose {
        Whose(self.tenant.number, self.number)
    }

    fn cores(&self) -> &Cores {
        &self.tenant.cores
    }

    /// Takes note of what was done without a place: it's charged with the next one.
    pub fn owe(&self, ran: Duration) {
        // 584 years.
        let nanoseconds = u64::try_from(ran.as_nanos()).unwrap_or(u64::MAX);
        self.owed.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    fn take_owed(&self) -> Duration {
        Duration::from_nanos(self.owed.swap(0, Ordering::Relaxed))
    }

    /// Whether its connections need a place for what they begin: it has had a slice without, or some of its
    /// tenant wait for theirs already.
    #[must_use]
    pub fn must_queue(&self) -> bool {
        let owed = Duration::from_nanos(self.owed.load(Ordering::Relaxed));
        owed >= SLICE || self.is_crowded()
    }

    fn is_crowded(&self) -> bool {
        self.tenant.length.load(Ordering::Relaxed) > 0
    }

    /// Waits for a place.
    #[must_use]
    pub fn enter(self: &Arc<Self>) -> Entering {
        Entering::new(Arc::clone(self))
    }
}

impl Drop for CpuShare {
    fn drop(&mut self) {
        // Nobody waits: who does holds a part of this.
        let Whose(tenant, export) = self.whose();
        self.cores().places().part_export(tenant, export);
    }
}
