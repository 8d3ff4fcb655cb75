//! CPU time: of this thread, of the process, and of what has computed for somebody.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// What this thread has computed so far.
#[must_use]
pub fn thread_time() -> Duration {
    time_of(ClockId::ThreadCPUTime)
}

/// What all threads of this process have computed so far, in programs and in the kernel.
#[must_use]
pub fn process_time() -> Duration {
    time_of(ClockId::ProcessCPUTime)
}

fn time_of(clock: ClockId) -> Duration {
    let now = clock_gettime(clock);
    // Both parts of such a clock are positive, and less than a second's worth of nanoseconds fits.
    Duration::new(
        now.tv_sec.unsigned_abs(),
        u32::try_from(now.tv_nsec).unwrap_or(0),
    )
}

/// Time for which somebody had a thread, summed up by many threads; wraps after 584 years.
#[derive(Debug, Default)]
pub struct Computed(AtomicU64);

impl Computed {
    /// Adds it.
    pub fn add(&self, time: Duration) {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.0.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// Nanoseconds so far.
    #[must_use]
    pub fn nanoseconds(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
