//! The clock of the data path. It goes with tokio's timers.

use std::time::Instant;

/// The current time, by which deadlines and rates are measured. If a test pauses tokio's clock, this clock stands still
/// too, so a request's deadline and the timers that it waits for never drift apart.
#[must_use]
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
