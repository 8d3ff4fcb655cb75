//! Counters of one export. What goes wrong is counted by whose fault it was.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::fault::{Cause, Failure, Whose};

/// One counter; wraps after 2^64.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts one.
    pub fn one(&self) {
        self.add(1);
    }

    /// Counts `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The count so far.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What is counted for an export.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Requests that reached the device.
    pub requests: Counter,
    /// Times that a guest was entered for a call.
    pub guest_calls: Counter,
    /// Calls of guests to the host for what a read or a write lends them.
    pub host_calls: Counter,
    /// Requests refused as the client's fault.
    pub refused: Counter,
    /// Errors that the plugin answered.
    pub answered_errors: Counter,
    /// Failures that were the host's fault.
    pub host_failures: Counter,
    /// Failures that were the plugin's fault, by cause in the order of [`Cause::ALL`].
    plugin_faults: [Counter; Cause::ALL.len()],
    /// Questions about extents that were answered with data because the plugin failed.
    pub extents_fallbacks: Counter,
    /// Extents added by the plugin.
    pub extents_added: Counter,
    /// Extents cut at the borders of the request, or outside of it.
    pub extents_clipped: Counter,
    /// Extents dropped because a map was full.
    pub extents_dropped: Counter,
    /// Instances made.
    pub instances: Counter,
    /// Lines of the plugin's log that were dropped.
    pub log_dropped: Counter,
    /// Times that a guest asked for memory beyond its limit.
    pub memory_refused: Counter,
}

impl Metrics {
    /// Counts a failure by whose fault it was.
    pub fn failed(&self, failure: &Failure) {
        match failure.whose {
            Whose::Answer => self.answered_errors.one(),
            Whose::Plugin(cause) => self.fault(cause).one(),
            Whose::Host => self.host_failures.one(),
            Whose::Shutdown => {}
        }
    }

    /// The counter of one cause.
    #[must_use]
    pub fn fault(&self, cause: Cause) -> &Counter {
        // `Cause` is a plain enum whose declaration order is that of `ALL`.
        &self.plugin_faults[cause as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_has_a_counter_of_its_own() {
        let metrics = Metrics::default();
        for cause in Cause::ALL {
            assert_eq!(metrics.fault(cause).get(), 0, "{cause:?}");
            metrics.failed(&Failure::plugin(cause, ""));
            assert_eq!(metrics.fault(cause).get(), 1, "{cause:?}");
        }
    }
}
