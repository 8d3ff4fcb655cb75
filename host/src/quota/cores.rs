//! The cores, shared by tenants whose guests compute, and within a tenant by its exports.
//!
//! A guest that goes on past a tick needs a place, and there are as many places as cores. It holds its
//! place from when it's given one, while it stands in line for a thread, to the end of its slice, and pays
//! for all of that time: who takes places without using them has the less of them. Who finds none waits,
//! and the next place is for the tenant that had the least so far, measured by its weight, and there for
//! the export that had the least. So a tenant that computes without end takes the cores that nobody else
//! wants, and no others; and what runs for less than a tick, as most calls do, never stands behind more
//! than one slice on its core.
//!
//! A place comes back when it's dropped, wherever its holder is by then, and goes to the next at once. So
//! nobody waits for good, as long as who was woken is polled or dropped: tasks do so whatever their client
//! does.

mod fair;
mod place;
mod places;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

pub use place::{Entering, Place};
use places::{Places, Whose};

/// The cores of this process.
#[derive(Debug)]
pub struct Cores(Mutex<Places>);

/// A tenant's share of the cores.
#[derive(Debug)]
pub struct CpuQuota {
    cores: Arc<Cores>,
    number: u64,
    /// How many of its guests wait, for those who look without the lock.
    length: Arc<AtomicUsize>,
}

/// An export's share of its tenant's.
#[derive(Debug)]
pub struct CpuShare {
    tenant: Arc<CpuQuota>,
    number: u64,
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

    pub(super) fn set(&self, weight: u64) {
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
        })
    }

    fn whose(&self) -> Whose {
        Whose(self.tenant.number, self.number)
    }

    fn cores(&self) -> &Cores {
        &self.tenant.cores
    }

    /// Charges a slice that ran without a place: the first of a call.
    pub fn charge(&self, cost: Duration) {
        let whose = self.whose();
        self.cores().change(|places, _| places.charge(whose, cost));
    }

    /// Whether guests of the tenant wait: then others of its own queue up before they begin.
    #[must_use]
    pub fn is_crowded(&self) -> bool {
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
