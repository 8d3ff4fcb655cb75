//! The CPU time of a call.
//!
//! The engine's epoch ticks every millisecond. A guest that meets a tick pays for the slice that it ran, by its
//! thread's CPU clock, and yields. So the host stops it when its slices add up to its budget, and no tenant holds a
//! worker for more than a tick at a time. A call that meets no tick pays nothing, and neither do waits in host
//! functions.
//!
//! If tenants share the cores, a guest that has met a tick goes on only when it gets a slot (`core_queue`).

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use device::Deadline;
use fair_cores::CoreSlot;
use tokio::task::yield_now;
use wasmtime::UpdateDeadline;

use crate::meter::clock::{self, TICK};
use crate::meter::core_queue::CoreQueue;
use crate::meter::host_trap::HostTrap;

/// The CPU time that a store's current call has used.
#[derive(Debug, Default)]
pub(crate) struct CpuMeter {
    budget: Duration,
    used: Duration,
    slice: Slice,
    /// The queue for the cores, if tenants share them.
    turns: Option<CoreQueue>,
}

/// The stretch for which a guest has the thread, shared with the caller that polls the guest.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slice(Arc<Stretch>);

#[derive(Debug, Default)]
struct Stretch {
    /// The thread's CPU clock when the stretch began, in ns; 0 if nobody read it.
    began: AtomicU64,
    /// The slot on the cores that the guest holds. The first stretch of a call has none, and no stretch has one if
    /// tenants don't share the cores.
    slot: Mutex<Option<CoreSlot>>,
    /// Whether `slot` holds one. Most calls never need to lock it.
    has_slot: AtomicBool,
}

impl Slice {
    fn begin(&self) {
        self.0.began.store(nanoseconds(), Ordering::Relaxed);
    }

    fn forget(&self) {
        self.0.began.store(0, Ordering::Relaxed);
    }

    fn is_measured(&self) -> bool {
        self.0.began.load(Ordering::Relaxed) != 0
    }

    /// What the stretch has cost so far. If its beginning is unknown, it began after the last tick.
    fn cost(&self) -> Duration {
        match self.0.began.load(Ordering::Relaxed) {
            0 => TICK,
            began => Duration::from_nanos(nanoseconds().saturating_sub(began)),
        }
    }

    /// Begins another stretch, with a slot if the cores are shared.
    fn go_on(&self, slot: Option<CoreSlot>) {
        self.0.has_slot.store(slot.is_some(), Ordering::Relaxed);
        // Nothing that holds the lock panics.
        *self.0.slot.lock().unwrap_or_else(PoisonError::into_inner) = slot;
        self.begin();
    }

    /// Returns the slot, if there is one.
    fn leave(&self) {
        if !self.0.has_slot.swap(false, Ordering::Relaxed) {
            return;
        }
        let slot = self.0.slot.lock();
        let slot = slot.unwrap_or_else(PoisonError::into_inner).take();
        if let Some(slot) = slot {
            slot.ran(self.cost());
        }
    }

    /// Called when the guest no longer has the thread: it waits, or its call has ended.
    pub(crate) fn end(&self, waits: bool) {
        if self.0.has_slot.load(Ordering::Relaxed) {
            self.leave();
        }
        if waits {
            self.forget();
        }
    }
}

impl CpuMeter {
    /// A meter for a guest that queues for the cores in `turns`, if tenants share them.
    pub(crate) fn new(turns: Option<CoreQueue>) -> Self {
        Self {
            turns,
            ..Self::default()
        }
    }

    /// Begins a call with `budget` of CPU time.
    pub(crate) fn begin(&mut self, budget: Duration) {
        self.budget = budget;
        self.used = Duration::ZERO;
        self.slice.forget();
        clock::note_guest();
    }

    /// CPU time that the call was charged so far.
    pub(crate) fn used(&self) -> Duration {
        self.used
    }

    /// The slice of the current call, for the caller that polls it.
    pub(crate) fn slice(&self) -> &Slice {
        &self.slice
    }

    /// Charges the stretch up to now, because the guest begins to wait. The first stretch of a call is free: only a
    /// tick would have charged it.
    pub(crate) fn charge(&mut self) {
        if self.slice.is_measured() {
            self.used += self.slice.cost();
            self.slice.leave();
            self.slice.forget();
        }
    }

    /// Checks that the call has CPU time left.
    ///
    /// # Errors
    /// The call has used up its CPU time.
    pub(crate) fn check(&self) -> Result<(), HostTrap> {
        if self.used >= self.budget {
            return Err(HostTrap::CpuTime);
        }
        Ok(())
    }

    /// Begins to measure, because the guest goes on after a wait. It may never meet a tick.
    pub(crate) fn resume(&mut self) {
        self.slice.begin();
    }

    /// Charges the slice that ends with this tick, and returns the future with which the guest yields.
    ///
    /// # Errors
    /// The call has used up its CPU time.
    pub(crate) fn tick(&mut self, request: Option<Deadline>) -> wasmtime::Result<UpdateDeadline> {
        clock::note_guest();
        let cost = self.slice.cost();
        self.used += cost;
        self.slice.leave();
        if self.used >= self.budget {
            return Err(HostTrap::CpuTime.into());
        }
        let (slice, turns) = (self.slice.clone(), self.turns.clone());
        let yielded: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(async move {
            let slot = match turns {
                Some(turns) => Some(turns.next(request).await),
                None => {
                    yield_now().await;
                    None
                }
            };
            slice.go_on(slot);
            clock::note_guest();
        });
        Ok(UpdateDeadline::YieldCustom(1, yielded))
    }
}

/// CPU time of this thread so far, in ns. A `u64` of them lasts for 584 years.
fn nanoseconds() -> u64 {
    u64::try_from(lanes::thread_time().as_nanos()).unwrap_or(u64::MAX)
}
