//! Waits for what a server does by itself.

use std::thread;
use std::time::{Duration, Instant};

/// Enough for the slowest machine: a test that waits longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `holds` returns true. `what` names the condition.
///
/// # Panics
/// The condition doesn't hold within a minute.
#[track_caller]
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "never: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}
