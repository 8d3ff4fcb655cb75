//! Histograms of durations, in buckets that double.

use std::time::Duration;

use super::Counter;

/// Number of upper bounds: 1 µs, 2 µs, 4 µs … 2^25 µs, about 33 s. One more bucket takes what is longer.
const BOUNDS: usize = 26;

/// Durations, counted in buckets. To count one takes two additions.
#[derive(Debug, Default)]
pub struct Histogram {
    /// For each bound, durations up to it and above the bound before; last, those above all bounds.
    buckets: [Counter; Histogram::BUCKETS],
    nanoseconds: Counter,
}

/// The counts of a histogram at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// For each bucket its upper bound in seconds, and how many durations fell between that and the bound before. The
    /// last bound is infinite.
    pub buckets: Vec<(f64, u64)>,
    /// The number of durations.
    pub count: u64,
    /// Their sum.
    pub sum: Duration,
}

impl Histogram {
    /// The number of buckets, including the one above all bounds.
    pub const BUCKETS: usize = BOUNDS + 1;

    /// Counts a duration.
    pub fn note(&self, took: Duration) {
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[bucket(nanoseconds)].one();
        self.nanoseconds.add(nanoseconds);
    }

    /// The number of durations.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(Counter::get).sum()
    }

    /// The counts of all buckets.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let counts = self.buckets.iter().map(Counter::get);
        let bounds = (0..BOUNDS).map(|index| Duration::from_micros(1 << index).as_secs_f64());
        let buckets: Vec<_> = bounds.chain([f64::INFINITY]).zip(counts).collect();
        Snapshot {
            count: buckets.iter().map(|(_, count)| count).sum(),
            buckets,
            sum: Duration::from_nanos(self.nanoseconds.get()),
        }
    }
}

/// The first bucket whose bound isn't below `nanoseconds`.
fn bucket(nanoseconds: u64) -> usize {
    let microseconds = nanoseconds.div_ceil(1000).max(1);
    // 1 → 0, 2 → 1, 3 and 4 → 2, 5 to 8 → 3, …
    let bits = u64::BITS - (microseconds - 1).leading_zeros();
    (bits as usize).min(BOUNDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_belong_to_their_bucket() {
        let cases = [
            (0, 0),
            (1000, 0),
            (1001, 1),
            (2000, 1),
            (2001, 2),
            (4000, 2),
            ((1 << 25) * 1000, BOUNDS - 1),
            ((1 << 25) * 1000 + 1, BOUNDS),
            (u64::MAX, BOUNDS),
        ];
        for (nanoseconds, expected) in cases {
            assert_eq!(bucket(nanoseconds), expected, "{nanoseconds} ns");
        }
    }

    #[test]
    fn a_snapshot_has_every_duration_once() {
        let histogram = Histogram::default();
        for took in [
            Duration::ZERO,
            Duration::from_micros(3),
            Duration::from_secs(60),
        ] {
            histogram.note(took);
        }
        let snapshot = histogram.snapshot();
        assert_eq!(snapshot.count, 3);
        assert_eq!(snapshot.sum, Duration::from_micros(60_000_003));
        assert_eq!(snapshot.buckets[0], (1e-6, 1));
        assert_eq!(snapshot.buckets[2], (4e-6, 1));
        assert_eq!(snapshot.buckets[BOUNDS], (f64::INFINITY, 1));
    }
}
