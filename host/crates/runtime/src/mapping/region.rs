//! A range of the export of which each byte is known: sorted runs without gaps.

use std::collections::VecDeque;
use std::ops::Range;

use extent_map::Kind;

/// Where the bytes of a run are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Location {
    /// Nowhere: they are zeroes.
    Zero,
    /// In a blob.
    Blob {
        /// The blob's index among the granted ones.
        blob: u32,
        /// The offset of the run's first byte in the blob.
        offset: u64,
    },
    /// Nowhere: the plugin computes them for each read.
    Computed,
}

/// What is known of the first byte of a run. What is known of the others follows from it.
pub(crate) trait Value: Copy + PartialEq {
    /// Returns the value of the byte that lies `distance` bytes further on in the same run.
    #[must_use]
    fn after(self, distance: u64) -> Self;
}

impl Value for Location {
    fn after(self, distance: u64) -> Self {
        match self {
            // The import checked the offset together with the run's length.
            Self::Blob { blob, offset } => Self::Blob {
                blob,
                offset: offset.saturating_add(distance),
            },
            other => other,
        }
    }
}

impl Value for Kind {
    fn after(self, _distance: u64) -> Self {
        self
    }
}

/// A known range of the export. It isn't empty, and equal neighbours are one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Region<V> {
    /// The start of each run, in bytes from the export's start. The first one is the region's start.
    runs: VecDeque<(u64, V)>,
    /// The byte after the last one.
    end: u64,
}

impl<V: Value> Region<V> {
    /// A region of one run; `None` if `range` is empty.
    #[must_use]
    pub(crate) fn new(range: Range<u64>, value: V) -> Option<Self> {
        (!range.is_empty()).then(|| Self {
            runs: VecDeque::from([(range.start, value)]),
            end: range.end,
        })
    }

    /// The offset of the first byte.
    #[must_use]
    pub(crate) fn start(&self) -> u64 {
        self.runs.front().map_or(self.end, |(start, _)| *start)
    }

    /// The offset of the byte after the last one.
    #[must_use]
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// The number of runs.
    #[must_use]
    pub(crate) fn runs(&self) -> usize {
        self.runs.len()
    }

    /// Appends a run of `length` bytes. The region ends at 2^64 - 1 at the latest.
    pub(crate) fn push(&mut self, length: u64, value: V) {
        if let Some(&(start, last)) = self.runs.back()
            && last.after(self.end - start) != value
            && length > 0
        {
            self.runs.push_back((self.end, value));
        }
        self.end = self.end.saturating_add(length);
    }

    /// Drops the first run if it ends at or below the byte at `wanted`. Returns whether it did.
    pub(crate) fn forget_first_below(&mut self, wanted: u64) -> bool {
        let below = self.runs.get(1).is_some_and(|(start, _)| *start <= wanted);
        if below {
            self.runs.pop_front();
        }
        below
    }

    /// Returns the runs inside `range` in order, cut at its ends. `range` must be inside the region.
    pub(crate) fn within(&self, range: Range<u64>) -> impl Iterator<Item = (Range<u64>, V)> + '_ {
        let first = self
            .runs
            .partition_point(|(start, _)| *start <= range.start);
        let ends = self.runs.range(first..).map(|(start, _)| *start);
        let runs = self.runs.range(first.saturating_sub(1)..);
        let ends = ends.chain([self.end]);
        runs.zip(ends)
            .take_while(move |((start, _), _)| *start < range.end)
            .map(move |(&(start, value), end)| {
                let from = start.max(range.start);
                (from..end.min(range.end), value.after(from - start))
            })
    }

    /// Returns the part inside `range`; `None` if there is none.
    #[must_use]
    pub(crate) fn cut(&self, range: &Range<u64>) -> Option<Self> {
        let range = range.start.max(self.start())..range.end.min(self.end);
        if range.is_empty() {
            return None;
        }
        let end = range.end;
        let runs = self.within(range).map(|(run, value)| (run.start, value));
        Some(Self {
            runs: runs.collect(),
            end,
        })
    }

    /// Releases memory that is reserved for more runs.
    pub(crate) fn shrink(&mut self) {
        self.runs.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: u64) -> Location {
        Location::Blob { blob: 0, offset }
    }

    fn region() -> Region<Location> {
        let mut region = Region::new(10..20, at(100)).unwrap();
        region.push(5, at(110));
        region.push(5, Location::Zero);
        region.push(0, at(7));
        region.push(10, at(120));
        region
    }

    #[test]
    fn a_run_that_goes_on_is_one_run() {
        let region = region();
        assert_eq!((region.start(), region.end(), region.runs()), (10, 40, 3));
    }

    #[test]
    fn runs_are_cut_at_the_borders() {
        let region = region();
        let runs: Vec<_> = region.within(12..32).collect();
        let expected = [
            (12..25, at(102)),
            (25..30, Location::Zero),
            (30..32, at(120)),
        ];
        assert_eq!(runs, expected);
        assert_eq!(
            region.within(39..40).collect::<Vec<_>>(),
            [(39..40, at(129))]
        );
        assert_eq!(region.within(25..25).count(), 0);
    }

    #[test]
    fn a_part_has_the_values_of_the_whole() {
        let part = region().cut(&(0..27)).unwrap();
        assert_eq!((part.start(), part.end()), (10, 27));
        let runs: Vec<_> = part.within(24..27).collect();
        assert_eq!(runs, [(24..25, at(114)), (25..27, Location::Zero)]);
        assert_eq!(region().cut(&(40..50)), None);
    }
}
