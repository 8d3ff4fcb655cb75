//! The part of `/metrics` about exports: what their clients do.

use std::fmt;
use std::sync::Arc;

use device::metrics::{Metrics, Operation, SeenExport};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use super::family::{Family, Figure, Head, Label, Waits, with};

const OPEN: Head = (
    MetricType::Gauge,
    "nbdbox_export_open",
    "1 once a client has requested the export, 0 before",
);

const SIZE: Head = (
    MetricType::Gauge,
    "nbdbox_export_size_bytes",
    "The size of an open export",
);

const CONNECTIONS: Head = (
    MetricType::Gauge,
    "nbdbox_connections",
    "Open connections to an export",
);

const KEPT: Head = (
    MetricType::Gauge,
    "nbdbox_kept_bytes",
    "Memory that connections to an export keep between requests",
);

const COUNTERS: &[Figure] = &[
    (
        "nbdbox_connections_made",
        "Connections that chose an export",
        |metrics| metrics.connections.total(),
    ),
    (
        "nbdbox_connections_refused",
        "Connections that a limit of the export or its tenant refused",
        |metrics| metrics.refused_connections.get(),
    ),
    (
        "nbdbox_failed_opens",
        "Failures to open an export for a client",
        |metrics| metrics.failed_opens.get(),
    ),
    (
        "nbdbox_read_bytes",
        "Bytes that reads returned",
        |metrics| metrics.read_bytes.get(),
    ),
    (
        "nbdbox_written_bytes",
        "Bytes that writes stored",
        |metrics| metrics.written_bytes.get(),
    ),
];

const SERVED: Head = (
    MetricType::Counter,
    "nbdbox_served_cpu_seconds",
    "Time for which the connections to an export had a thread, including guests that ran there",
);

const OPERATIONS: Head = (
    MetricType::Counter,
    "nbdbox_operations",
    "Requests that have ended, by operation and outcome",
);

const DURATIONS: Head = (
    MetricType::Histogram,
    "nbdbox_operation_seconds",
    "Time from a request's start to its reply",
);

const WAITS: &[Waits] = &[
    (
        "nbdbox_admission_wait_seconds",
        "Waits for fewer requests or bytes in flight; only requests that waited",
        |metrics| &metrics.admission_waits,
    ),
    (
        "nbdbox_rate_wait_seconds",
        "Waits for a rate; only requests that waited",
        |metrics| &metrics.rate_waits,
    ),
];

/// All exports at one moment.
#[derive(Debug)]
pub(super) struct Exports(pub(super) Arc<[SeenExport]>);

impl Collector for Exports {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        self.each(encoder, OPEN, true, |family, seen, labels| {
            family.gauge(labels, u64::from(seen.open.is_some()))
        })?;
        self.each(encoder, SIZE, false, |family, seen, labels| {
            seen.open
                .map_or(Ok(()), |open| family.gauge(labels, open.size))
        })?;
        self.each(encoder, CONNECTIONS, false, |family, seen, labels| {
            family.gauge(labels, seen.metrics.connections.now())
        })?;
        self.each(encoder, KEPT, false, |family, seen, labels| {
            family.gauge(labels, seen.metrics.kept.now())
        })?;
        for (name, help, value) in COUNTERS {
            let head = (MetricType::Counter, *name, *help);
            self.each(encoder, head, false, |family, seen, labels| {
                family.counter(labels, value(&seen.metrics))
            })?;
        }
        self.each(encoder, SERVED, false, |family, seen, labels| {
            family.seconds(labels, seen.metrics.served.nanoseconds())
        })?;
        self.each(encoder, OPERATIONS, false, |family, seen, labels| {
            family.operations(labels, &seen.metrics)?;
            refused(family, &seen.metrics, labels)
        })?;
        self.each(encoder, DURATIONS, false, |family, seen, labels| {
            durations(family, &seen.metrics, labels)
        })?;
        for (name, help, value) in WAITS {
            let head = (MetricType::Histogram, *name, *help);
            self.each(encoder, head, false, |family, seen, labels| {
                family.histogram(labels, value(&seen.metrics))
            })?;
        }
        Ok(())
    }
}

impl Exports {
    /// Writes a family: for all exports, or only for those that a client has touched, so that an unused export costs
    /// one line and not a hundred.
    fn each(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        (kind, name, help): Head,
        all: bool,
        mut write: impl FnMut(&mut Family<'_>, &SeenExport, &[Label<'_>]) -> fmt::Result,
    ) -> fmt::Result {
        let mut family = Family::new(encoder, kind, name, help)?;
        for seen in self.0.iter().filter(|seen| all || !seen.is_untouched()) {
            let labels = [
                ("tenant", &seen.tenant[..]),
                ("export", &seen.export[..]),
                ("digest", &seen.digest[..]),
            ];
            write(&mut family, seen, &labels)?;
        }
        Ok(())
    }
}

/// Writes the number of requests that broke the protocol's rules, unless it's 0.
fn refused(family: &mut Family<'_>, metrics: &Metrics, labels: &[Label<'_>]) -> fmt::Result {
    match metrics.refused.get() {
        0 => Ok(()),
        count => {
            let more = [("operation", "refused"), ("outcome", "client")];
            family.counter(&with(labels, &more), count)
        }
    }
}

/// Writes the histograms of the operations that have occurred.
fn durations(family: &mut Family<'_>, metrics: &Metrics, labels: &[Label<'_>]) -> fmt::Result {
    for operation in Operation::ALL {
        let took = metrics.operations.took(operation);
        if took.count() > 0 {
            let labels = with(labels, &[("operation", operation.name())]);
            family.histogram(&labels, took)?;
        }
    }
    Ok(())
}
