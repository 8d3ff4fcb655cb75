//! The CPU time of a call.
//!
//! The engine's epoch ticks every millisecond. A guest that meets a tick is charged for the slice
//! that it ran, measured on its thread's own clock, and yields; so it is stopped when its slices add
//! up to its budget, and in between no tenant holds a worker for more than a tick. A call that meets
//! no tick costs nothing. Time spent waiting in host functions isn't charged.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use wasmtime::UpdateDeadline;

use super::stop::Stop;

/// The time between two ticks of the engine's epoch.
pub(super) const TICK: Duration = Duration::from_millis(1);

/// What a store's current call has used.
#[derive(Debug, Default)]
pub(super) struct CpuMeter {
    budget: Duration,
    used: Duration,
    /// The thread's CPU clock when this slice began, in ns; 0 when that wasn't looked at.
    slice: Arc<AtomicU64>,
}

impl CpuMeter {
    /// A new call begins.
    pub(super) fn begin(&mut self, budget: Duration) {
        self.budget = budget;
        self.used = Duration::ZERO;
        self.forget_slice();
    }

    /// What the call has used so far, to a millisecond.
    pub(super) fn used(&self) -> Duration {
        self.used
    }

    /// The slice that began on another thread, or before a wait, doesn't count.
    pub(super) fn forget_slice(&self) {
        self.slice.store(0, Ordering::Relaxed);
    }

    /// The guest met a tick: charge it, and let others run.
    pub(super) fn tick(&mut self) -> wasmtime::Result<UpdateDeadline> {
        self.used += match self.slice.load(Ordering::Relaxed) {
            0 => TICK,
            began => Duration::from_nanos(thread_time().saturating_sub(began)),
        };
        if self.used >= self.budget {
            return Err(Stop::CpuTime.into());
        }
        let slice = Arc::clone(&self.slice);
        let yielded: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(async move {
            tokio::task::yield_now().await;
            slice.store(thread_time(), Ordering::Relaxed);
        });
        Ok(UpdateDeadline::YieldCustom(1, yielded))
    }
}

fn thread_time() -> u64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    // Both parts of a thread's own clock are positive.
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}
