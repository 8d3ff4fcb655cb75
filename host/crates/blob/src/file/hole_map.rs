//! Where a file has holes, as far as that was found out.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::source::SourceExtent;

/// Runs of data and holes that are remembered of one file. Restrains a file that is all fragments, and those who have
/// such files made: past it all is forgotten, and what is asked next is found out again.
const RUNS: usize = 32_768;

/// Bytes of memory of a run, with what the tree needs for it, or a little less.
const RUN: usize = 40;

/// Runs that don't overlap; neighbours of one kind are one.
#[derive(Debug, Default)]
pub(super) struct HoleMap {
    /// By their start.
    runs: BTreeMap<u64, Run>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    end: u64,
    data: bool,
}

impl HoleMap {
    /// Bytes of memory that it takes, or a little less.
    pub(super) fn bytes(&self) -> usize {
        self.runs.len() * RUN
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.runs.clear();
    }

    /// What is known from the start of `range` on without a gap: at most `most` extents.
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

    /// Takes note of an extent, which holds over what was known of the same bytes.
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

    /// Lets no run go across `at`.
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

    /// What is known of each of the first bytes.
    fn known(map: &HoleMap) -> Vec<Option<bool>> {
        let byte = |at| {
            map.lookup(&(at..at + 1), 1)
                .first()
                .map(|extent| extent.data)
        };
        (0..64).map(byte).collect()
    }

    #[test]
    fn it_is_as_if_each_byte_were_remembered() {
        let mut map = HoleMap::default();
        let mut oracle = vec![None; 64];
        // A sequence without a pattern, the same each time.
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
    fn what_is_known_ends_at_a_gap_and_at_as_many_as_are_wanted() {
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
