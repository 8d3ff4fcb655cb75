//! The CPU time of a call.
//!
//! The engine's epoch ticks every millisecond. A guest that meets a tick is charged for the slice
//! that it ran, measured on its thread's own clock, and yields; so it is stopped when its slices add
//! up to its budget, and in between no tenant holds a worker for more than a tick. A call that meets
//! no tick costs nothing. Time spent waiting in host functions isn't charged.
//!
//! Where tenants share the cores, a guest that has met a tick goes on only when it's its tenant's turn
//! (`turns`).

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

/// What a store's current call has used.
#[derive(Debug, Default)]
pub(crate) struct CpuMeter {
    budget: Duration,
    used: Duration,
    slice: Slice,
    /// Where the cores are shared.
    turns: Option<CoreQueue>,
}

/// The stretch for which a guest has the thread, shared with whoever sees it given up.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slice(Arc<Stretch>);

#[derive(Debug, Default)]
struct Stretch {
    /// The thread's CPU clock when the stretch began, in ns; 0 when that wasn't looked at.
    began: AtomicU64,
    /// Leave to run, where the cores are shared and this isn't the first stretch of a call.
    place: Mutex<Option<CoreSlot>>,
    /// Whether there is one: most calls never need to look.
    has_place: AtomicBool,
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

    /// What the stretch has cost so far. Where it began nobody knows: not before the last tick.
    fn cost(&self) -> Duration {
        match self.0.began.load(Ordering::Relaxed) {
            0 => TICK,
            began => Duration::from_nanos(nanoseconds().saturating_sub(began)),
        }
    }

    /// Goes on with leave.
    fn go_on(&self, place: Option<CoreSlot>) {
        self.0.has_place.store(place.is_some(), Ordering::Relaxed);
        // Nothing that holds the lock panics.
        *self.0.place.lock().unwrap_or_else(PoisonError::into_inner) = place;
        self.begin();
    }

    /// Gives the leave back, if there was one.
    fn leave(&self) {
        if !self.0.has_place.swap(false, Ordering::Relaxed) {
            return;
        }
        let place = self.0.place.lock();
        let place = place.unwrap_or_else(PoisonError::into_inner).take();
        if let Some(place) = place {
            place.ran(self.cost());
        }
    }

    /// The guest no longer has the thread: it waits, or its call has ended.
    pub(crate) fn end(&self, waits: bool) {
        if self.0.has_place.load(Ordering::Relaxed) {
            self.leave();
        }
        if waits {
            self.forget();
        }
    }
}

impl CpuMeter {
    /// A meter for a guest that takes `turns` with others.
    pub(crate) fn new(turns: Option<CoreQueue>) -> Self {
        Self {
            turns,
            ..Self::default()
        }
    }

    /// A new call begins.
    pub(crate) fn begin(&mut self, budget: Duration) {
        self.budget = budget;
        self.used = Duration::ZERO;
        self.slice.forget();
        clock::note_guest();
    }

    /// What the call has used so far, to a millisecond.
    pub(crate) fn used(&self) -> Duration {
        self.used
    }

    /// The slice of the current call.
    pub(crate) fn slice(&self) -> &Slice {
        &self.slice
    }

    /// The guest waits from here on: charges the stretch that it ran, unless that was its call's first, which a tick
    /// would have charged.
    pub(crate) fn charge(&mut self) {
        if self.slice.is_measured() {
            self.used += self.slice.cost();
            self.slice.leave();
            self.slice.forget();
        }
    }

    /// Whether there is something left to go on with.
    ///
    /// # Errors
    /// The call's CPU time is used up.
    pub(crate) fn check(&self) -> Result<(), HostTrap> {
        if self.used >= self.budget {
            return Err(HostTrap::CpuTime);
        }
        Ok(())
    }

    /// It goes on. From here on what it runs is measured: it may never meet a tick.
    pub(crate) fn resume(&mut self) {
        self.slice.begin();
    }

    /// The guest met a tick: charge it, and let others run.
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
            let place = match turns {
                Some(turns) => Some(turns.next(request).await),
                None => {
                    yield_now().await;
                    None
                }
            };
            slice.go_on(place);
            clock::note_guest();
        });
        Ok(UpdateDeadline::YieldCustom(1, yielded))
    }
}

/// What this thread has computed so far, in ns: 584 years at most.
fn nanoseconds() -> u64 {
    u64::try_from(lanes::thread_time().as_nanos()).unwrap_or(u64::MAX)
}
