//! The data of `/exports`, which `nbdbox top` reads, too.

use std::collections::BTreeMap;
use std::time::Instant;

use device::ProcessQuota;
use device::fault::Cause;
use device::metrics::{
    Histogram, Metrics, Observed, Operation, Outcome, SeenExport, SeenLayer, SeenTenant, SeenWait,
};
use lanes::{Lane, process_time};
use serde::{Deserialize, Serialize};

use super::resources::nanoseconds;
use crate::machine;

/// All exports, tenants and processes at one moment. All counts begin when the export was configured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// The exports, by tenant and name.
    pub exports: Vec<ExportReport>,
    /// The tenants, by name; empty without a configuration.
    pub tenants: Vec<TenantReport>,
    /// The figures of the process.
    #[serde(default)]
    pub process: ProcessReport,
    /// The figures of each process, if a listener has one of its own; `process` is then their sum.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub processes: Vec<NamedProcess>,
}

/// The figures of one of several processes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct NamedProcess {
    /// `shared`, `admin`, or the listener that has a process of its own.
    pub name: String,
    /// The figures; `None` if the process doesn't answer.
    pub process: Option<ProcessReport>,
}

/// The resources that a process uses, and the part of them that is charged to tenants. A figure that the kernel doesn't
/// report is null.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ProcessReport {
    /// The CPU time of the process in nanoseconds.
    pub cpu_ns: u64,
    /// The part of it that the host's own lane used.
    pub host_lane_ns: u64,
    /// The resident memory in bytes.
    pub resident: Option<u64>,
    /// The memory in bytes that is charged to tenants.
    pub metered: u64,
    /// Mappings of the address space.
    pub mappings: Option<u64>,
    /// The mappings that are charged to tenants.
    pub metered_mappings: u64,
    /// Open descriptors.
    pub descriptors: Option<u64>,
    /// Threads of the process.
    pub threads: Option<u64>,
    /// The threads of the host's own lane.
    pub host_lane_threads: u64,
}

/// The figures of an export.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ExportReport {
    /// The tenant's name; empty without a configuration.
    pub tenant: String,
    /// The export's name.
    pub export: String,
    /// The plugin's name in its manifest.
    pub plugin: String,
    /// SHA-256 of the plugin's file.
    pub digest: String,
    /// Whether a client has requested the export.
    pub open: bool,
    /// Whether new connections get the open, old state, although the configuration or a file has changed, until the
    /// last client has disconnected.
    #[serde(default)]
    pub pending: bool,
    /// The size in bytes, once the export is open.
    pub size: Option<u64>,
    /// Whether clients can't write, once the export is open.
    pub read_only: Option<bool>,
    /// Open connections.
    pub connections: u64,
    /// Bytes that reads returned.
    pub read_bytes: u64,
    /// Bytes that writes stored.
    pub written_bytes: u64,
    /// The time in nanoseconds for which the connections had a thread, including guests that ran there.
    #[serde(default)]
    pub served_ns: u64,
    /// Requests that have ended, by operation and outcome. Counts of 0 are omitted.
    pub operations: BTreeMap<String, BTreeMap<String, u64>>,
    /// Requests by their time: up to 1 µs, 2 µs, 4 µs … 2^25 µs, and beyond.
    pub latency: Vec<u64>,
    /// The layers, the outermost filter first and the plugin last.
    pub layers: Vec<LayerReport>,
}

/// The figures of a layer of an export.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct LayerReport {
    /// The layer's place, counted from the plugin, and its file's name.
    pub layer: String,
    /// SHA-256 of the layer's file.
    pub digest: String,
    /// Requests to the layer that have ended.
    pub requests: u64,
    /// Bytes that reads returned.
    pub read_bytes: u64,
    /// Bytes that writes stored.
    pub written_bytes: u64,
    /// Instances of the layer's plugin.
    pub instances: u64,
    /// The memory and tables of all instances in bytes.
    pub memory: u64,
    /// The most of that memory so far, in bytes.
    pub memory_peak: u64,
    /// The host's memory for the layer's remembered mapping and extents, in bytes.
    pub remembered: u64,
    /// Calls of the layer's guests.
    pub guest_calls: u64,
    /// The time in nanoseconds for which the guests had a thread.
    pub guest_ns: u64,
    /// The CPU time in nanoseconds of the tenant's lane for the layer.
    #[serde(default)]
    pub lane_ns: u64,
    /// Extents that the plugin added to the maps of requests.
    pub extents_added: u64,
    /// Extents that crossed the borders of their request, or lay outside of it.
    pub extents_clipped: u64,
    /// Extents that the host dropped because a map was full.
    pub extents_dropped: u64,
    /// The plugin's faults, by cause. Counts of 0 are omitted.
    pub faults: BTreeMap<String, u64>,
    /// Operations on granted files that have run for a second or more, the oldest first.
    #[serde(default)]
    pub storage: Vec<StorageReport>,
}

/// An operation on a granted file that hasn't ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct StorageReport {
    /// `read`, `write`, `flush`, `trim`, `zero` or `extents`.
    pub operation: String,
    /// The blob's name.
    pub blob: String,
    /// The time so far, in milliseconds.
    pub ms: u64,
    /// Bytes that are done, if known.
    pub done: Option<u64>,
    /// All bytes of the operation, if known.
    pub of: Option<u64>,
}

/// The resources that a tenant uses.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct TenantReport {
    /// The tenant's name.
    pub tenant: String,
    /// Open connections of the tenant.
    pub connections: u64,
    /// Instances of the tenant's plugins.
    pub instances: u64,
    /// The memory in bytes that is charged to the tenant.
    pub memory: u64,
    /// The mappings of the address space that are charged to the tenant.
    pub mappings: u64,
    /// Requests in flight.
    pub requests: u64,
    /// Bytes of the requests in flight.
    pub inflight: u64,
    /// The CPU time of the tenant's lane in nanoseconds.
    #[serde(default)]
    pub lane_ns: u64,
    /// Threads of the tenant's lane.
    #[serde(default)]
    pub lane_threads: u64,
    /// Tasks that wait for a thread of the lane.
    #[serde(default)]
    pub lane_waiting: u64,
}

impl Report {
    /// The report of this process. Reads files of the kernel.
    pub(super) fn of(observed: &dyn Observed) -> Self {
        Self {
            exports: observed.exports().iter().map(export).collect(),
            tenants: observed.tenants().into_iter().map(tenant).collect(),
            process: process(&observed.process()),
            processes: Vec::new(),
        }
    }
}

impl ProcessReport {
    /// Adds the figures of another process to these.
    pub(super) fn add(&mut self, other: &Self) {
        let sum = |one: &mut u64, other: u64| *one = one.saturating_add(other);
        let known = |one: &mut Option<u64>, other: Option<u64>| {
            if let Some(other) = other {
                *one = Some(one.unwrap_or(0).saturating_add(other));
            }
        };
        sum(&mut self.cpu_ns, other.cpu_ns);
        sum(&mut self.host_lane_ns, other.host_lane_ns);
        known(&mut self.resident, other.resident);
        sum(&mut self.metered, other.metered);
        known(&mut self.mappings, other.mappings);
        sum(&mut self.metered_mappings, other.metered_mappings);
        known(&mut self.descriptors, other.descriptors);
        known(&mut self.threads, other.threads);
        sum(&mut self.host_lane_threads, other.host_lane_threads);
    }
}

fn process(quota: &ProcessQuota) -> ProcessReport {
    let host = Lane::of_the_host();
    ProcessReport {
        cpu_ns: nanoseconds(process_time()),
        host_lane_ns: host.computed().nanoseconds(),
        resident: machine::resident(),
        metered: quota.memory.used(),
        mappings: machine::mappings(),
        metered_mappings: quota.mappings.used(),
        descriptors: machine::descriptors(),
        threads: machine::threads(),
        host_lane_threads: host.threads() as u64,
    }
}

fn export(seen: &SeenExport) -> ExportReport {
    let metrics = &seen.metrics;
    ExportReport {
        tenant: seen.tenant.clone(),
        export: seen.export.clone(),
        plugin: seen.plugin.clone(),
        digest: seen.digest.clone(),
        open: seen.open.is_some(),
        pending: seen.pending,
        size: seen.open.map(|open| open.size),
        read_only: seen.open.map(|open| open.read_only),
        connections: metrics.connections.now(),
        read_bytes: metrics.read_bytes.get(),
        written_bytes: metrics.written_bytes.get(),
        served_ns: metrics.served.nanoseconds(),
        operations: operations(metrics),
        latency: latency(metrics),
        layers: seen.layers.iter().map(layer).collect(),
    }
}

fn layer(seen: &SeenLayer) -> LayerReport {
    let metrics = &seen.metrics;
    LayerReport {
        layer: seen.layer.clone(),
        digest: seen.digest.clone(),
        requests: metrics.operations.total(),
        read_bytes: metrics.read_bytes.get(),
        written_bytes: metrics.written_bytes.get(),
        instances: metrics.instances.now(),
        memory: metrics.memory.now(),
        memory_peak: metrics.memory.peak(),
        remembered: metrics.remembered.now(),
        guest_calls: metrics.guest_calls.get(),
        guest_ns: metrics.guest.nanoseconds(),
        lane_ns: metrics.lane.nanoseconds(),
        extents_added: metrics.extents_added.get(),
        extents_clipped: metrics.extents_clipped.get(),
        extents_dropped: metrics.extents_dropped.get(),
        faults: faults(metrics),
        storage: storage(metrics),
    }
}

fn storage(metrics: &Metrics) -> Vec<StorageReport> {
    let seen = metrics.storage.seen(Instant::now()).into_iter();
    let report = |wait: SeenWait| StorageReport {
        operation: wait.what.to_owned(),
        blob: wait.blob,
        ms: u64::try_from(wait.took.as_millis()).unwrap_or(u64::MAX),
        done: wait.progress.map(|(done, _)| done),
        of: wait.progress.map(|(_, of)| of),
    };
    seen.map(report).collect()
}

fn operations(metrics: &Metrics) -> BTreeMap<String, BTreeMap<String, u64>> {
    let outcomes = |operation| {
        let counts = Outcome::ALL.map(|outcome| {
            let count = metrics.operations.count(operation, outcome);
            (outcome.name().to_owned(), count)
        });
        counts.into_iter().filter(|(_, count)| *count > 0).collect()
    };
    let mut operations: BTreeMap<String, BTreeMap<String, u64>> = Operation::ALL
        .map(|operation| (operation.name().to_owned(), outcomes(operation)))
        .into();
    let refused = BTreeMap::from([("client".to_owned(), metrics.refused.get())]);
    operations.insert("refused".to_owned(), refused);
    operations.retain(|_, outcomes| outcomes.values().any(|count| *count > 0));
    operations
}

/// The times of all operations together.
fn latency(metrics: &Metrics) -> Vec<u64> {
    let mut sums = vec![0; Histogram::BUCKETS];
    for operation in Operation::ALL {
        let snapshot = metrics.operations.took(operation).snapshot();
        for (sum, (_, count)) in sums.iter_mut().zip(snapshot.buckets) {
            *sum += count;
        }
    }
    sums
}

fn faults(metrics: &Metrics) -> BTreeMap<String, u64> {
    let counts = Cause::ALL.map(|cause| (cause.name().to_owned(), metrics.fault(cause).get()));
    counts.into_iter().filter(|(_, count)| *count > 0).collect()
}

fn tenant(seen: SeenTenant) -> TenantReport {
    TenantReport {
        tenant: seen.tenant,
        connections: seen.connections,
        instances: seen.instances,
        memory: seen.memory,
        mappings: seen.mappings,
        requests: seen.requests,
        inflight: seen.bytes,
        lane_ns: seen.lane_nanoseconds,
        lane_threads: seen.lane_threads,
        lane_waiting: seen.lane_waiting,
    }
}
