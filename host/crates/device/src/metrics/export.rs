//! What is counted for an export.

use std::sync::Arc;

use extent_map::ExtentMap;
use lanes::Computed;

use super::{Counter, Histogram, Level, Operations, StorageWaits};
use crate::fault::{Cause, Failure, Fault};

/// The counters of one export; where filters are over its plugin each of these layers has its own, and those
/// of the outermost are also the export's, since that's whom clients meet.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Requests that reached the device.
    pub operations: Operations,
    /// Requests refused as the client's fault: nothing was tried.
    pub refused: Counter,
    /// Bytes that reads brought.
    pub read_bytes: Counter,
    /// Bytes that writes stored.
    pub written_bytes: Counter,
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
    /// Reads that were served from what is remembered of where bytes are, without the plugin.
    pub recalled_reads: Counter,
    /// Questions about extents that were, likewise.
    pub recalled_extents: Counter,
    /// Times that the plugin was asked where bytes are.
    pub located: Counter,
    /// Bytes that the host remembers for it: where its bytes are, and their extents.
    pub remembered: Level,
    /// Calls of the guests.
    pub guest_calls: Counter,
    /// Calls of the guests to the host, for what their requests lend.
    pub host_calls: Counter,
    /// For how long the guests had a thread.
    pub guest: Computed,
    /// What its tenant's lane has computed for it.
    pub lane: Arc<Computed>,
    /// For how long its connections had a thread: guests that ran there are in it.
    pub served: Computed,
    /// Instances: alive, and made.
    pub instances: Level,
    /// Bytes that the instances hold together.
    pub memory: Level,
    /// What was asked for beyond what may be had, by what it was, in the order of [`Budget::ALL`].
    refusals: [Counter; Budget::ALL.len()],
    /// Lines of the plugin's log that were dropped.
    pub log_dropped: Counter,
    /// Waits for an instance, of requests that had to.
    pub instance_waits: Histogram,
    /// Waits for admission, of requests that had to: too much of their connection, or of their tenant, was
    /// under way.
    pub admission_waits: Histogram,
    /// Waits for a rate, its own or its tenant's, of requests that had to.
    pub rate_waits: Histogram,
    /// Waits of its guests and connections for their turn on the cores, where they had to.
    pub core_waits: Histogram,
    /// What waits for storage for long.
    pub storage: Arc<StorageWaits>,
    /// Bytes that its connections keep between requests.
    pub kept: Level,
    /// Connections to it.
    pub connections: Level,
    /// Connections for which it had no place, or its tenant.
    pub refused_connections: Counter,
    /// Times that it could not be opened for a client.
    pub failed_opens: Counter,
}

/// What a plugin can ask too much of, without a request failing for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Budget {
    /// Memory of an instance, or of all of a tenant's.
    Memory,
    /// Instances of a tenant.
    Instances,
    /// Mappings of the address space, of a tenant's instances or of all.
    Mappings,
}

impl Budget {
    /// All, in the order of their counters.
    pub const ALL: [Self; 3] = [Self::Memory, Self::Instances, Self::Mappings];

    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Instances => "instances",
            Self::Mappings => "mappings",
        }
    }
}

impl Metrics {
    /// Counts whose fault it was, where that was the plugin's.
    pub fn blame(&self, failure: &Failure) {
        if let Fault::Plugin(cause) = failure.fault {
            self.fault(cause).one();
        }
    }

    /// Counts what a plugin did with a map of extents.
    pub fn note_extents(&self, map: &ExtentMap) {
        self.extents_added.add(map.adds());
        self.extents_clipped.add(map.clipped());
        self.extents_dropped.add(map.dropped());
    }

    /// The counter of one cause.
    #[must_use]
    pub fn fault(&self, cause: Cause) -> &Counter {
        // `Cause` is a plain enum whose declaration order is that of `ALL`.
        &self.plugin_faults[cause as usize]
    }

    /// How often too much of this was asked for.
    #[must_use]
    pub fn refusals(&self, budget: Budget) -> &Counter {
        &self.refusals[budget as usize]
    }
}

/// A connection to an export, for as long as it lives.
#[derive(Debug)]
pub struct Connected(Arc<Metrics>);

impl Connected {
    /// It begins.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Self {
        metrics.connections.rise(1);
        Self(metrics)
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.connections.fall(1);
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
            metrics.blame(&Failure::plugin(cause, ""));
            assert_eq!(metrics.fault(cause).get(), 1, "{cause:?}");
        }
    }
}
