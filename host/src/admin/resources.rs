//! The part of `/metrics` about the machine: what the process uses, and what of that is charged to tenants.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use device::ProcessQuota;
use lanes::{Lane, process_time};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use super::family::Family;
use crate::machine;

/// A figure: type, name, help, value. It has no sample if the kernel doesn't report it.
type Figure = (
    MetricType,
    &'static str,
    &'static str,
    fn(&ProcessQuota) -> Option<u64>,
);

const FIGURES: &[Figure] = &[
    (
        MetricType::Gauge,
        "nbdbox_resident_bytes",
        "Memory of the process, as the kernel counts it",
        |_| machine::resident(),
    ),
    (
        MetricType::Gauge,
        "nbdbox_metered_bytes",
        "Memory that is charged to tenants",
        |quota| Some(quota.memory.used()),
    ),
    (
        MetricType::Gauge,
        "nbdbox_metered_limit_bytes",
        "Memory that may be charged to all tenants together",
        |quota| Some(quota.memory.limit()),
    ),
    (
        MetricType::Counter,
        "nbdbox_memory_refusals",
        "Allocations that the limit of all tenants together denied",
        |quota| Some(quota.memory.refusals()),
    ),
    (
        MetricType::Gauge,
        "nbdbox_mappings",
        "Mappings of the address space, as the kernel counts them",
        |_| machine::mappings(),
    ),
    (
        MetricType::Gauge,
        "nbdbox_mappings_max",
        "Mappings that the kernel allows the process",
        |_| Some(machine::max_mappings()),
    ),
    (
        MetricType::Gauge,
        "nbdbox_metered_mappings",
        "Mappings that are charged to tenants",
        |quota| Some(quota.mappings.used()),
    ),
    (
        MetricType::Gauge,
        "nbdbox_metered_limit_mappings",
        "Mappings that may be charged to all tenants together",
        |quota| Some(quota.mappings.limit()),
    ),
    (
        MetricType::Counter,
        "nbdbox_mapping_refusals",
        "Instances that the limit of all tenants together denied",
        |quota| Some(quota.mappings.refusals()),
    ),
    (
        MetricType::Gauge,
        "nbdbox_descriptors",
        "Open descriptors of the process",
        |_| machine::descriptors(),
    ),
    (
        MetricType::Gauge,
        "nbdbox_descriptors_max",
        "Descriptors that the process may open",
        |_| machine::max_descriptors(),
    ),
    (
        MetricType::Gauge,
        "nbdbox_threads",
        "Threads of the process",
        |_| machine::threads(),
    ),
    (
        MetricType::Gauge,
        "nbdbox_host_lane_threads",
        "Threads of the host's own lane",
        |_| Some(Lane::of_the_host().threads() as u64),
    ),
];

/// CPU time: name, help, nanoseconds.
type CpuFigure = (&'static str, &'static str, fn() -> u64);

const CPU: &[CpuFigure] = &[
    (
        "nbdbox_cpu_seconds",
        "CPU time of the process, as the kernel counts it",
        || nanoseconds(process_time()),
    ),
    (
        "nbdbox_host_lane_cpu_seconds",
        "CPU time of the host's own lane",
        || Lane::of_the_host().computed().nanoseconds(),
    ),
];

/// A time in nanoseconds. Saturates after 584 years.
pub(super) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The figures of the machine and of the meters. Encoding them reads files of the kernel.
#[derive(Debug)]
pub(super) struct Resources(pub(super) Arc<ProcessQuota>);

impl Collector for Resources {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for (kind, name, help, value) in FIGURES {
            let mut family = Family::new(&mut encoder, *kind, name, help)?;
            match (kind, value(&self.0)) {
                (_, None) => {}
                (MetricType::Counter, Some(value)) => family.counter(&[], value)?,
                (_, Some(value)) => family.gauge(&[], value)?,
            }
        }
        CPU.iter().try_for_each(|(name, help, value)| {
            Family::new(&mut encoder, MetricType::Counter, name, help)?.seconds(&[], value())
        })
    }
}
