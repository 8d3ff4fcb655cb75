//! CPU time of this thread and of the process, and sums of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The CPU time that this thread has used.
#[must_use]
pub fn thread_time() -> Duration {
    time_of(ClockId::ThreadCPUTime)
}

/// The CPU time that all threads of this process have used, in programs and in the kernel.
#[must_use]
pub fn process_time() -> Duration {
    time_of(ClockId::ProcessCPUTime)
}

fn time_of(clock: ClockId) -> Duration {
    let now = clock_gettime(clock);
    // Such a clock isn't negative, and its nanoseconds are less than a second.
    Duration::new(
        now.tv_sec.unsigned_abs(),
        u32::try_from(now.tv_nsec).unwrap_or(0),
    )
}

/// A sum of times for which somebody had a thread, added by many threads; wraps after 584 years.
#[derive(Debug, Default)]
pub struct Computed(AtomicU64);

impl Computed {
    /// Adds `time`.
    pub fn add(&self, time: Duration) {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.0.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// The sum in nanoseconds.
    #[must_use]
    pub fn nanoseconds(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
