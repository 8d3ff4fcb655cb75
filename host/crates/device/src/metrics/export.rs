//! What the server counts for an export.

use std::sync::Arc;

use extent_map::ExtentMap;
use lanes::Computed;

use super::{Counter, Histogram, Level, Operations, StorageWaits};
use crate::fault::{Cause, Failure, Fault};

/// The counters of one export. If filters are over its plugin, each layer has its own, and those of the outermost layer
/// are also the export's, because clients reach that layer.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Requests that reached the device.
    pub operations: Operations,
    /// Requests that the server refused as the client's fault, without trying anything.
    pub refused: Counter,
    /// Bytes that reads returned.
    pub read_bytes: Counter,
    /// Bytes that writes stored.
    pub written_bytes: Counter,
    /// Failures that were the plugin's fault, by cause in the order of [`Cause::ALL`].
    plugin_faults: [Counter; Cause::ALL.len()],
    /// BLOCK_STATUS requests that were answered with data because the device failed.
    pub extents_fallbacks: Counter,
    /// Extents that the plugin added.
    pub extents_added: Counter,
    /// Extents that the host clipped to the request's range, or ignored because they were outside of it.
    pub extents_clipped: Counter,
    /// Extents that the host dropped because a map was full.
    pub extents_dropped: Counter,
    /// Reads that the host answered without the plugin, from what it remembers of where bytes are.
    pub recalled_reads: Counter,
    /// BLOCK_STATUS requests that the host answered likewise.
    pub recalled_extents: Counter,
    /// Calls of the plugin to learn where bytes are.
    pub located: Counter,
    /// Bytes that the host remembers for the export: where its bytes are, and their extents.
    pub remembered: Level,
    /// Calls of the guests.
    pub guest_calls: Counter,
    /// Calls from guests to the host, on the handles that a request lends them.
    pub host_calls: Counter,
    /// The time for which guests had a thread.
    pub guest: Computed,
    /// The time that the tenant's lane computed for the export.
    pub lane: Arc<Computed>,
    /// The time for which its connections had a thread, including guests that ran there.
    pub served: Computed,
    /// Instances: alive now, and made so far.
    pub instances: Level,
    /// Bytes that all instances hold together.
    pub memory: Level,
    /// Requests for more than a budget allowed, by budget in the order of [`Budget::ALL`].
    refusals: [Counter; Budget::ALL.len()],
    /// Lines of the plugin's log that the host dropped.
    pub log_dropped: Counter,
    /// Waits for an instance; only requests that waited.
    pub instance_waits: Histogram,
    /// Waits for admission, because too much of the connection or tenant was in flight; only requests that waited.
    pub admission_waits: Histogram,
    /// Waits for a rate, the export's or its tenant's; only requests that waited.
    pub rate_waits: Histogram,
    /// Waits of guests and connections for their turn on the cores; only those that waited.
    pub core_waits: Histogram,
    /// Operations of storage that take long.
    pub storage: Arc<StorageWaits>,
    /// Bytes that its connections keep between requests.
    pub kept: Level,
    /// Open connections to it, and all so far.
    pub connections: Level,
    /// Connections that a limit of the export or its tenant refused.
    pub refused_connections: Counter,
    /// Failures to open it for a client.
    pub failed_opens: Counter,
}

/// What a plugin can request too much of, without a client's request failing for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Budget {
    /// Memory of an instance, or of all instances of a tenant.
    Memory,
    /// Instances of a tenant.
    Instances,
    /// Mappings of the address space, of a tenant's instances or of the process.
    Mappings,
}

impl Budget {
    /// All, in the order of their counters.
    pub const ALL: [Self; 3] = [Self::Memory, Self::Instances, Self::Mappings];

    /// The name in metrics.
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
    /// Counts a failure's cause, if the plugin was at fault.
    pub fn blame(&self, failure: &Failure) {
        if let Fault::Plugin(cause) = failure.fault {
            self.fault(cause).one();
        }
    }

    /// Counts what a plugin added to a map of extents.
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

    /// The counter of denied requests for this.
    #[must_use]
    pub fn refusals(&self, budget: Budget) -> &Counter {
        &self.refusals[budget as usize]
    }
}

/// Counts a connection as open while this exists.
#[derive(Debug)]
pub struct Connected(Arc<Metrics>);

impl Connected {
    /// A connection begins.
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
