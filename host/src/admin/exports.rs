//! The part of `/metrics` that concerns exports.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use super::family::{Family, Label};
use crate::fault::Cause;
use crate::metrics::{Budget, Histogram, Metrics, Operation, Outcome, SeenExport};

/// A single figure of an export: name, help, value.
type Single = (&'static str, &'static str, fn(&Metrics) -> u64);

const GAUGES: &[Single] = &[
    (
        "nbdbox_connections",
        "Connections to an export now",
        |metrics| metrics.connections.now(),
    ),
    (
        "nbdbox_instances",
        "Instances of an export's plugin now",
        |metrics| metrics.instances.now(),
    ),
    (
        "nbdbox_instances_peak",
        "The most instances so far",
        |metrics| metrics.instances.peak(),
    ),
    (
        "nbdbox_memory_bytes",
        "Memory and tables of all instances now",
        |metrics| metrics.memory.now(),
    ),
    (
        "nbdbox_memory_peak_bytes",
        "The most memory of all instances so far",
        |metrics| metrics.memory.peak(),
    ),
];

const COUNTERS: &[Single] = &[
    (
        "nbdbox_connections_made",
        "Connections that chose an export",
        |metrics| metrics.connections.total(),
    ),
    (
        "nbdbox_failed_opens",
        "Times that an export could not be opened for a client",
        |metrics| metrics.failed_opens.get(),
    ),
    ("nbdbox_read_bytes", "Bytes that reads brought", |metrics| {
        metrics.read_bytes.get()
    }),
    (
        "nbdbox_written_bytes",
        "Bytes that writes stored",
        |metrics| metrics.written_bytes.get(),
    ),
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
        "Extents that the plugin added",
        |metrics| metrics.extents_added.get(),
    ),
    (
        "nbdbox_extents_clipped",
        "Extents cut at the borders of their request, or outside of it",
        |metrics| metrics.extents_clipped.get(),
    ),
    (
        "nbdbox_extents_dropped",
        "Extents dropped because a map was full",
        |metrics| metrics.extents_dropped.get(),
    ),
    (
        "nbdbox_extents_fallbacks",
        "Questions about extents answered with data because the plugin failed",
        |metrics| metrics.extents_fallbacks.get(),
    ),
    (
        "nbdbox_recalled_reads",
        "Reads served from what is remembered of where bytes are",
        |metrics| metrics.recalled_reads.get(),
    ),
    (
        "nbdbox_recalled_extents",
        "Questions about extents that were, likewise",
        |metrics| metrics.recalled_extents.get(),
    ),
    (
        "nbdbox_located",
        "Times that the plugin was asked where bytes are",
        |metrics| metrics.located.get(),
    ),
    (
        "nbdbox_log_lines_dropped",
        "Lines of the plugin's log that were dropped",
        |metrics| metrics.log_dropped.get(),
    ),
];

/// Times that requests had to wait: name, help, value.
type Waits = (&'static str, &'static str, fn(&Metrics) -> &Histogram);

const WAITS: &[Waits] = &[
    (
        "nbdbox_instance_wait_seconds",
        "Waits for an instance, of requests that had to",
        |metrics| &metrics.instance_waits,
    ),
    (
        "nbdbox_admission_wait_seconds",
        "Waits until less was under way, of requests that had to",
        |metrics| &metrics.admission_waits,
    ),
    (
        "nbdbox_rate_wait_seconds",
        "Waits for a rate, of requests that had to",
        |metrics| &metrics.rate_waits,
    ),
    (
        "nbdbox_core_wait_seconds",
        "Waits of guests for their turn on the cores, where they had to",
        |metrics| &metrics.core_waits,
    ),
];

/// All exports, as they are at one moment.
#[derive(Debug)]
pub(super) struct Exports(pub(super) Vec<SeenExport>);

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
        self.singles(encoder)?;
        self.each(encoder, GUEST_CPU, false, |family, seen, labels| {
            family.seconds(labels, seen.metrics.guest_nanoseconds.get())
        })?;
        self.each(encoder, OPERATIONS, false, |family, seen, labels| {
            operations(family, &seen.metrics, labels)
        })?;
        self.each(encoder, DURATIONS, false, |family, seen, labels| {
            durations(family, &seen.metrics, labels)
        })?;
        self.each(encoder, FAULTS, false, |family, seen, labels| {
            for cause in Cause::ALL {
                let labels = with(labels, &[("cause", cause.name())]);
                family.counter(&labels, seen.metrics.fault(cause).get())?;
            }
            Ok(())
        })?;
        self.each(encoder, REFUSALS, false, |family, seen, labels| {
            for budget in Budget::ALL {
                let labels = with(labels, &[("budget", budget.name())]);
                family.counter(&labels, seen.metrics.refusals(budget).get())?;
            }
            Ok(())
        })
    }
}

/// The head of a family: type, name, help.
type Head = (MetricType, &'static str, &'static str);

const OPEN: Head = (
    MetricType::Gauge,
    "nbdbox_export_open",
    "Whether somebody has asked for an export: 1, or 0",
);
const SIZE: Head = (
    MetricType::Gauge,
    "nbdbox_export_size_bytes",
    "The size of an export that is open",
);
const GUEST_CPU: Head = (
    MetricType::Counter,
    "nbdbox_guest_cpu_seconds",
    "Time for which guests had a thread",
);
const OPERATIONS: Head = (
    MetricType::Counter,
    "nbdbox_operations",
    "Requests that have ended, by what they wanted and what became of them",
);
const DURATIONS: Head = (
    MetricType::Histogram,
    "nbdbox_operation_seconds",
    "Time from a request's start to its reply",
);
const FAULTS: Head = (
    MetricType::Counter,
    "nbdbox_plugin_faults",
    "Failures that were the plugin's fault, by cause",
);
const REFUSALS: Head = (
    MetricType::Counter,
    "nbdbox_budget_refusals",
    "Times that more was asked for than may be had, by what it was",
);

impl Exports {
    /// Writes a family, of all exports or of those of which there's something to say: an export that
    /// nobody has asked for costs a line, not a hundred.
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

    fn singles(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        for (name, help, value) in GAUGES {
            let head = (MetricType::Gauge, *name, *help);
            self.each(encoder, head, false, |family, seen, labels| {
                family.gauge(labels, value(&seen.metrics))
            })?;
        }
        for (name, help, value) in COUNTERS {
            let head = (MetricType::Counter, *name, *help);
            self.each(encoder, head, false, |family, seen, labels| {
                family.counter(labels, value(&seen.metrics))
            })?;
        }
        for (name, help, value) in WAITS {
            let head = (MetricType::Histogram, *name, *help);
            self.each(encoder, head, false, |family, seen, labels| {
                family.histogram(labels, value(&seen.metrics))
            })?;
        }
        Ok(())
    }
}

/// What there was none of is left out.
fn operations(family: &mut Family<'_>, metrics: &Metrics, labels: &[Label<'_>]) -> fmt::Result {
    let mut write = |operation, outcome, count| match count {
        0 => Ok(()),
        count => {
            let labels = with(labels, &[("operation", operation), ("outcome", outcome)]);
            family.counter(&labels, count)
        }
    };
    for operation in Operation::ALL {
        for outcome in Outcome::ALL {
            let count = metrics.operations.count(operation, outcome);
            write(operation.name(), outcome.name(), count)?;
        }
    }
    write("refused", "client", metrics.refused.get())
}

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

fn with<'a>(labels: &[Label<'a>], more: &[Label<'a>]) -> Vec<Label<'a>> {
    [labels, more].concat()
}
