//! What `/exports` says, and what `nbdbox top` makes of it.

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

/// Everything at some moment. All counts are since the export was configured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// The exports, by tenant and name.
    pub exports: Vec<ExportReport>,
    /// The tenants, by name; none without a configuration.
    pub tenants: Vec<TenantReport>,
    /// What the process has of the machine.
    #[serde(default)]
    pub process: ProcessReport,
    /// The same of each process, if a listener has one of its own; `process` is their sum then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub processes: Vec<NamedProcess>,
}

/// One of several processes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct NamedProcess {
    /// `shared`, `admin`, or the listener that has a process of its own.
    pub name: String,
    /// `None` if the process doesn't answer.
    pub process: Option<ProcessReport>,
}

/// What the process has of the machine, and what of that the meters know. What the kernel doesn't tell is null.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ProcessReport {
    /// Nanoseconds of CPU time.
    pub cpu_ns: u64,
    /// Those of the host's own lane.
    pub host_lane_ns: u64,
    /// Bytes in memory.
    pub resident: Option<u64>,
    /// Bytes that are charged to tenants.
    pub metered: u64,
    /// Mappings of the address space.
    pub mappings: Option<u64>,
    /// Those that are charged to tenants.
    pub metered_mappings: u64,
    /// Open descriptors.
    pub descriptors: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
    /// Those of the host's own lane.
    pub host_lane_threads: u64,
}

/// An export.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ExportReport {
    /// Whose it is; empty without a configuration.
    pub tenant: String,
    /// Its name.
    pub export: String,
    /// The plugin, as it calls itself.
    pub plugin: String,
    /// SHA-256 of the plugin's file.
    pub digest: String,
    /// Whether somebody has asked for it.
    pub open: bool,
    /// Whether new connections get what is open though its configuration or a file of its has changed, until the last
    /// client has left.
    #[serde(default)]
    pub pending: bool,
    /// Bytes, once it's open.
    pub size: Option<u64>,
    /// Whether it can't be written, once it's open.
    pub read_only: Option<bool>,
    /// Connections now.
    pub connections: u64,
    /// Bytes that reads brought.
    pub read_bytes: u64,
    /// Bytes that writes stored.
    pub written_bytes: u64,
    /// Nanoseconds for which its connections had a thread, guests included that ran there.
    #[serde(default)]
    pub served_ns: u64,
    /// Requests, by what they wanted and what became of them; what there was none of is left out.
    pub operations: BTreeMap<String, BTreeMap<String, u64>>,
    /// Requests by how long they took: up to 1 µs, 2 µs, 4 µs … 2^25 µs, and beyond.
    pub latency: Vec<u64>,
    /// The outermost filter and all below it, the plugin last: what their guests did and took.
    pub layers: Vec<LayerReport>,
}

/// A layer of an export.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct LayerReport {
    /// Its place, counted from the plugin, and its file's name.
    pub layer: String,
    /// SHA-256 of its file.
    pub digest: String,
    /// Requests that came to it and have ended.
    pub requests: u64,
    /// Bytes that reads brought.
    pub read_bytes: u64,
    /// Bytes that writes stored.
    pub written_bytes: u64,
    /// Instances now.
    pub instances: u64,
    /// Bytes of guest memory now.
    pub memory: u64,
    /// The most bytes of guest memory so far.
    pub memory_peak: u64,
    /// Bytes that the host remembers for it.
    pub remembered: u64,
    /// Calls of its guests.
    pub guest_calls: u64,
    /// Nanoseconds for which they had a thread.
    pub guest_ns: u64,
    /// Nanoseconds of CPU time of its tenant's lane.
    #[serde(default)]
    pub lane_ns: u64,
    /// Extents that it added.
    pub extents_added: u64,
    /// Those cut at the borders of their request, or outside of it.
    pub extents_clipped: u64,
    /// Those dropped because a map was full.
    pub extents_dropped: u64,
    /// Its faults, by cause; what there was none of is left out.
    pub faults: BTreeMap<String, u64>,
    /// Operations of storage that have taken a second and more so far, the oldest first.
    #[serde(default)]
    pub storage: Vec<StorageReport>,
}

/// An operation of storage that goes on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct StorageReport {
    /// `read`, `write`, `flush`, `trim`, `zero` or `extents`.
    pub operation: String,
    /// The blob's name.
    pub blob: String,
    /// Milliseconds so far.
    pub ms: u64,
    /// Bytes that are done, where that is known.
    pub done: Option<u64>,
    /// Of so many.
    pub of: Option<u64>,
}

/// What a tenant has in use.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct TenantReport {
    /// Its name.
    pub tenant: String,
    /// Connections.
    pub connections: u64,
    /// Instances.
    pub instances: u64,
    /// Bytes that the host holds for it.
    pub memory: u64,
    /// Mappings of the address space.
    pub mappings: u64,
    /// Requests under way.
    pub requests: u64,
    /// Their bytes.
    pub inflight: u64,
    /// Nanoseconds of CPU time of its lane.
    #[serde(default)]
    pub lane_ns: u64,
    /// Threads of its lane.
    #[serde(default)]
    pub lane_threads: u64,
    /// Pieces of work that wait for one of them.
    #[serde(default)]
    pub lane_waiting: u64,
}

impl Report {
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
    /// Adds the figures of another process.
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

/// All operations together.
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
