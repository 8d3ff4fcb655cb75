//! The known data and holes of a file.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::source::SourceExtent;

/// The most runs that are remembered of one file. Restrains files of many fragments, and clients that make such files:
/// beyond this number the map forgets all, and the host searches again.
const RUNS: usize = 32_768;

/// The memory of a run in bytes, including its part of the tree, or a little less.
const RUN: usize = 40;

/// Runs that don't overlap; adjacent runs of one kind are merged.
#[derive(Debug, Default)]
pub(super) struct HoleMap {
    /// The runs by their start.
    runs: BTreeMap<u64, Run>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    end: u64,
    data: bool,
}

impl HoleMap {
    /// The memory that the map takes in bytes, or a little less.
    pub(super) fn bytes(&self) -> usize {
        self.runs.len() * RUN
    }

    /// Forgets all runs.
    pub(super) fn clear(&mut self) {
        self.runs.clear();
    }

    /// The known extents from the start of `range` on, without gaps: at most `most`.
    pub(super) fn lookup(&self, range: &Range<u64>, most: usize) -> Vec<SourceExtent> {
        let first = self.runs.range(..=range.start).next_back();
        let first = first.map_or(range.start, |(start, _)| *start);
        let mut known = Vec::new();
        let mut at = range.start;
        for (start, run) in self.runs.range(first..range.end) {
            if *start > at || at >= range.end || known.len() == most {
                break;
            }
            let end = run.end.min(range.end);
            if end > at {
                known.push(SourceExtent {
                    offset: at,
                    length: end - at,
                    data: run.data,
                });
                at = end;
            }
        }
        known
    }

    /// Enters an extent, which replaces what was known of the same bytes.
    pub(super) fn insert(&mut self, extent: &SourceExtent) {
        if self.runs.len() >= RUNS {
            self.clear();
        }
        let (mut start, mut end, data) = (extent.offset, extent.end(), extent.data);
        self.cut(start);
        self.cut(end);
        let inside: Vec<u64> = self
            .runs
            .range(start..end)
            .map(|(start, _)| *start)
            .collect();
        for start in inside {
            self.runs.remove(&start);
        }
        if let Some((before, run)) = self.runs.range(..start).next_back()
            && run.end == start
            && run.data == data
        {
            start = *before;
        }
        if let Some(run) = self.runs.get(&end)
            && run.data == data
        {
            let next = std::mem::replace(&mut end, run.end);
            self.runs.remove(&next);
        }
        self.runs.insert(start, Run { end, data });
    }

    /// Splits a run that contains `at`, so that none crosses it.
    fn cut(&mut self, at: u64) {
        if let Some((_, run)) = self.runs.range_mut(..at).next_back()
            && run.end > at
        {
            let rest = *run;
            run.end = at;
            self.runs.insert(at, rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(offset: u64, length: u64, data: bool) -> SourceExtent {
        SourceExtent {
            offset,
            length,
            data,
        }
    }

    /// What the map knows of each of the first 64 bytes.
    fn known(map: &HoleMap) -> Vec<Option<bool>> {
        let byte = |at| {
            map.lookup(&(at..at + 1), 1)
                .first()
                .map(|extent| extent.data)
        };
        (0..64).map(byte).collect()
    }

    #[test]
    fn the_map_agrees_with_an_oracle_of_bytes() {
        let mut map = HoleMap::default();
        let mut oracle = vec![None; 64];
        // A sequence without a pattern, the same in each run of the test.
        let mut state = 1_u64;
        let mut next = |below: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) % below
        };
        for _ in 0..3000 {
            let start = next(64);
            let length = 1 + next(64 - start);
            let data = next(2) == 1;
            map.insert(&extent(start, length, data));
            let range = usize::try_from(start).unwrap()..usize::try_from(start + length).unwrap();
            oracle[range].fill(Some(data));
            assert_eq!(known(&map), oracle);
            let kinds: Vec<_> = map.runs.values().zip(map.runs.iter().skip(1)).collect();
            assert!(kinds.iter().all(|(run, (start, next))| {
                run.end < **start || run.end == **start && run.data != next.data
            }));
            if next(20) == 0 {
                map.clear();
                oracle.fill(None);
            }
        }
    }

    #[test]
    fn a_lookup_ends_at_a_gap_and_after_the_most_extents() {
        let mut map = HoleMap::default();
        for (offset, data) in [(0, true), (10, false), (20, true), (40, true)] {
            map.insert(&extent(offset, 10, data));
        }
        let all = [
            extent(5, 5, true),
            extent(10, 10, false),
            extent(20, 10, true),
        ];
        assert_eq!(map.lookup(&(5..50), 9), all);
        assert_eq!(map.lookup(&(5..50), 2), all[..2]);
        assert_eq!(map.lookup(&(5..25), 9)[2], extent(20, 5, true));
        assert_eq!(map.lookup(&(30..40), 9), []);
        assert_eq!(map.lookup(&(45..46), 9), [extent(45, 1, true)]);
    }

    #[test]
    fn a_file_of_fragments_takes_bounded_memory() {
        let mut map = HoleMap::default();
        for index in 0..100_000 {
            map.insert(&extent(index * 10, 10, index % 2 == 0));
            assert!(map.bytes() <= RUNS * RUN);
        }
        assert!(!map.lookup(&(999_990..1_000_000), 1).is_empty());
    }
}
