//! One name of `/metrics`, and its samples.

use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use crate::metrics::{Histogram, Snapshot};

/// A label's name and value.
pub(super) type Label<'a> = (&'a str, &'a str);

/// One name, to which samples are written.
pub(super) struct Family<'a>(MetricEncoder<'a>);

impl<'a> Family<'a> {
    /// Writes the name's head, samples or not: so a look at an idle server tells all there is.
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

    /// A counter of nanoseconds, told in seconds.
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
        // Every second bound is enough here, and half the text.
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

    /// Without labels there are no braces either.
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
