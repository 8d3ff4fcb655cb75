//! A family of `/metrics`: one name with its samples.

use std::fmt;
use std::time::Duration;

use device::metrics::{Histogram, Metrics, Operation, Outcome, Snapshot};
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

/// A label's name and value.
pub(super) type Label<'a> = (&'a str, &'a str);

/// The head of a family: type, name, help.
pub(super) type Head = (MetricType, &'static str, &'static str);

/// A figure of an export or a layer, without further labels: name, help, value.
pub(super) type Figure = (&'static str, &'static str, fn(&Metrics) -> u64);

/// A histogram of waits of an export or a layer: name, help, value.
pub(super) type Waits = (&'static str, &'static str, fn(&Metrics) -> &Histogram);

/// Appends labels to others.
pub(super) fn with<'a>(labels: &[Label<'a>], more: &[Label<'a>]) -> Vec<Label<'a>> {
    [labels, more].concat()
}

/// The writer of one family.
pub(super) struct Family<'a>(MetricEncoder<'a>);

impl<'a> Family<'a> {
    /// Writes the head of a family, even if no sample follows, so that an idle server lists all families.
    pub(super) fn new(
        encoder: &'a mut DescriptorEncoder<'_>,
        kind: MetricType,
        name: &'a str,
        help: &str,
    ) -> Result<Self, fmt::Error> {
        let metric = encoder.encode_descriptor(name, help, None, kind)?;
        Ok(Self(metric))
    }

    pub(super) fn info(&mut self, labels: &[Label<'_>]) -> fmt::Result {
        self.0.encode_info(&labels)
    }

    pub(super) fn gauge(&mut self, labels: &[Label<'_>], value: u64) -> fmt::Result {
        self.sample(labels, |sample| sample.encode_gauge(&value))
    }

    pub(super) fn counter(&mut self, labels: &[Label<'_>], value: u64) -> fmt::Result {
        let write = |sample: &mut MetricEncoder<'_>| {
            sample.encode_counter::<NoLabelSet, _, f64>(&value, None)
        };
        self.sample(labels, write)
    }

    /// Writes a counter of nanoseconds, in seconds.
    pub(super) fn seconds(&mut self, labels: &[Label<'_>], nanoseconds: u64) -> fmt::Result {
        let seconds = Duration::from_nanos(nanoseconds).as_secs_f64();
        let write = |sample: &mut MetricEncoder<'_>| {
            sample.encode_counter::<NoLabelSet, _, f64>(&seconds, None)
        };
        self.sample(labels, write)
    }

    pub(super) fn histogram(&mut self, labels: &[Label<'_>], histogram: &Histogram) -> fmt::Result {
        let Snapshot {
            buckets,
            count,
            sum,
        } = histogram.snapshot();
        // Writes only every second bound, which halves the text.
        let pairs = buckets.chunks(2).map(|pair| {
            let bound = pair.last().map_or(f64::INFINITY, |(bound, _)| *bound);
            (bound, pair.iter().map(|(_, count)| count).sum())
        });
        let (buckets, sum): (Vec<(f64, u64)>, f64) = (pairs.collect(), sum.as_secs_f64());
        let write = |sample: &mut MetricEncoder<'_>| {
            sample.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
        };
        self.sample(labels, write)
    }

    /// Writes the requests by operation and outcome, without those of which there were none.
    pub(super) fn operations(&mut self, labels: &[Label<'_>], metrics: &Metrics) -> fmt::Result {
        for operation in Operation::ALL {
            for outcome in Outcome::ALL {
                let count = metrics.operations.count(operation, outcome);
                if count > 0 {
                    let (operation, outcome) = (operation.name(), outcome.name());
                    let more = [("operation", operation), ("outcome", outcome)];
                    self.counter(&with(labels, &more), count)?;
                }
            }
        }
        Ok(())
    }

    /// Writes a sample, without braces if it has no labels.
    fn sample(
        &mut self,
        labels: &[Label<'_>],
        write: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result,
    ) -> fmt::Result {
        match labels {
            [] => write(&mut self.0),
            labels => write(&mut self.0.encode_family(&labels)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_manual_has_every_operation_and_outcome_and_no_other() {
        let manual = include_str!("../../METRICS.md");
        let row = manual
            .lines()
            .find(|line| line.starts_with("| `nbdbox_operations`"));
        let (_, text) = row.unwrap().rsplit_once(" | ").unwrap();
        let documented: BTreeSet<&str> = text.split('`').skip(1).step_by(2).collect();
        let operations = Operation::ALL.map(Operation::name);
        let outcomes = Outcome::ALL.map(Outcome::name);
        let others = ["operation", "outcome", "refused", "client"];
        let real = operations.into_iter().chain(outcomes).chain(others);
        assert_eq!(documented, real.collect());
    }
}
