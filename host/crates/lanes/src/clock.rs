//! The CPU time of this thread.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// What this thread has computed so far.
#[must_use]
pub fn thread_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    // Both parts of a thread's own clock are positive, and less than a second's worth of nanoseconds fits.
    Duration::new(
        now.tv_sec.unsigned_abs(),
        u32::try_from(now.tv_nsec).unwrap_or(0),
    )
}
