//! The part of `/metrics` about the layers of exports: what their plugins do and use.
//!
//! An export has a plugin, and may have filters over it. Each has meters and counters of its own, and so has samples of
//! its own.

use std::fmt;
use std::sync::Arc;

use device::fault::Cause;
use device::metrics::{Budget, Metrics, SeenExport};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use super::family::{Family, Figure, Head, Label, Waits, with};

const GAUGES: &[Figure] = &[
    (
        "nbdbox_instances",
        "Instances of a layer's plugin",
        |metrics| metrics.instances.now(),
    ),
    (
        "nbdbox_instances_peak",
        "The most instances so far",
        |metrics| metrics.instances.peak(),
    ),
    (
        "nbdbox_memory_bytes",
        "Memory and tables of all instances",
        |metrics| metrics.memory.now(),
    ),
    (
        "nbdbox_memory_peak_bytes",
        "The most memory of all instances so far",
        |metrics| metrics.memory.peak(),
    ),
    (
        "nbdbox_remembered_bytes",
        "Memory of the host for a layer's remembered mapping and extents",
        |metrics| metrics.remembered.now(),
    ),
];

const COUNTERS: &[Figure] = &[
    ("nbdbox_guest_calls", "Calls of guests", |metrics| {
        metrics.guest_calls.get()
    }),
    (
        "nbdbox_host_calls",
        "Calls of guests to the host for what their requests lend",
        |metrics| metrics.host_calls.get(),
    ),
    ("nbdbox_instances_made", "Instances made", |metrics| {
        metrics.instances.total()
    }),
    (
        "nbdbox_extents_added",
        "Extents that the plugin added to the maps of requests",
        |metrics| metrics.extents_added.get(),
    ),
    (
        "nbdbox_extents_clipped",
        "Extents that crossed the borders of their request, or lay outside of it",
        |metrics| metrics.extents_clipped.get(),
    ),
    (
        "nbdbox_extents_dropped",
        "Extents that the host dropped because a map was full",
        |metrics| metrics.extents_dropped.get(),
    ),
    (
        "nbdbox_extents_fallbacks",
        "Block status requests that the host answered with data because the plugin failed",
        |metrics| metrics.extents_fallbacks.get(),
    ),
    (
        "nbdbox_recalled_reads",
        "Reads that the host served from its remembered mapping",
        |metrics| metrics.recalled_reads.get(),
    ),
    (
        "nbdbox_recalled_extents",
        "Block status requests that the host served from its remembered extents",
        |metrics| metrics.recalled_extents.get(),
    ),
    (
        "nbdbox_located",
        "Calls to the plugin that locate bytes",
        |metrics| metrics.located.get(),
    ),
    (
        "nbdbox_log_lines_dropped",
        "Dropped lines of the plugin's log",
        |metrics| metrics.log_dropped.get(),
    ),
];

const GUEST_CPU: Head = (
    MetricType::Counter,
    "nbdbox_guest_cpu_seconds",
    "Time for which guests had a thread",
);

const LANE_CPU: Head = (
    MetricType::Counter,
    "nbdbox_lane_cpu_seconds",
    "CPU time of a tenant's lane for a layer",
);

const WAITS: &[Waits] = &[
    (
        "nbdbox_instance_wait_seconds",
        "Waits for an instance; only requests that waited",
        |metrics| &metrics.instance_waits,
    ),
    (
        "nbdbox_core_wait_seconds",
        "Waits for a turn on the cores; only those that waited",
        |metrics| &metrics.core_waits,
    ),
];

const OPERATIONS: Head = (
    MetricType::Counter,
    "nbdbox_layer_operations",
    "Requests to a layer that have ended, by operation and outcome",
);

const FAULTS: Head = (
    MetricType::Counter,
    "nbdbox_plugin_faults",
    "Failures that were the plugin's fault, by cause",
);

const REFUSALS: Head = (
    MetricType::Counter,
    "nbdbox_budget_refusals",
    "Requests of a plugin for more than its budget allows, by budget",
);

/// The layers of all exports at one moment.
#[derive(Debug)]
pub(super) struct Layers(pub(super) Arc<[SeenExport]>);

impl Collector for Layers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        for (name, help, value) in GAUGES {
            let head = (MetricType::Gauge, *name, *help);
            self.each(encoder, head, |family, metrics, labels| {
                family.gauge(labels, value(metrics))
            })?;
        }
        for (name, help, value) in COUNTERS {
            let head = (MetricType::Counter, *name, *help);
            self.each(encoder, head, |family, metrics, labels| {
                family.counter(labels, value(metrics))
            })?;
        }
        self.each(encoder, GUEST_CPU, |family, metrics, labels| {
            family.seconds(labels, metrics.guest.nanoseconds())
        })?;
        self.each(encoder, LANE_CPU, |family, metrics, labels| {
            family.seconds(labels, metrics.lane.nanoseconds())
        })?;
        for (name, help, value) in WAITS {
            let head = (MetricType::Histogram, *name, *help);
            self.each(encoder, head, |family, metrics, labels| {
                family.histogram(labels, value(metrics))
            })?;
        }
        self.each(encoder, OPERATIONS, |family, metrics, labels| {
            family.operations(labels, metrics)
        })?;
        self.each(encoder, FAULTS, |family, metrics, labels| {
            Cause::ALL.iter().try_for_each(|cause| {
                let labels = with(labels, &[("cause", cause.name())]);
                family.counter(&labels, metrics.fault(*cause).get())
            })
        })?;
        self.each(encoder, REFUSALS, |family, metrics, labels| {
            Budget::ALL.iter().try_for_each(|budget| {
                let labels = with(labels, &[("budget", budget.name())]);
                family.counter(&labels, metrics.refusals(*budget).get())
            })
        })
    }
}

impl Layers {
    /// Writes a family for all layers of the exports that a client has touched.
    fn each(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        (kind, name, help): Head,
        mut write: impl FnMut(&mut Family<'_>, &Metrics, &[Label<'_>]) -> fmt::Result,
    ) -> fmt::Result {
        let mut family = Family::new(encoder, kind, name, help)?;
        for seen in self.0.iter().filter(|seen| !seen.is_untouched()) {
            for layer in &seen.layers {
                let labels = [
                    ("tenant", &seen.tenant[..]),
                    ("export", &seen.export[..]),
                    ("digest", &layer.digest[..]),
                    ("layer", &layer.layer[..]),
                ];
                write(&mut family, &layer.metrics, &labels)?;
            }
        }
        Ok(())
    }
}
