//! The obvious alternative: extents in a sorted vector, spliced at every add.

use extent_map::Kind;

/// The runs of a range by their ends, with the same rules as the map's (E3, E4, E6).
pub(crate) struct SpliceVec {
    start: u64,
    end: u64,
    max: usize,
    runs: Vec<(u64, Kind)>,
}

impl SpliceVec {
    /// No runs in `start..end`, and room for `max` of them.
    pub(crate) const fn new(start: u64, end: u64, max: usize) -> Self {
        Self {
            start,
            end,
            max,
            runs: Vec::new(),
        }
    }

    /// Makes the `length` bytes from `offset` on `kind`.
    pub(crate) fn add(&mut self, offset: u64, length: u64, kind: Kind) {
        let (offset, end) = (offset.max(self.start), (offset + length).min(self.end));
        if offset >= end {
            return;
        }
        let first = self.runs.partition_point(|&(border, _)| border < offset);
        let above = self.runs.partition_point(|&(border, _)| border <= end);
        let kind_of = |run: usize| self.runs.get(run).map_or(Kind::Data, |&(_, kind)| kind);
        let left = Some((offset, kind_of(first))).filter(|&(o, k)| k != kind && o > self.start);
        let own = Some((end, kind)).filter(|_| kind_of(above) != kind);
        self.runs.splice(first..above, left.into_iter().chain(own));
        if self.runs.len() > self.max {
            self.runs.truncate(self.max);
            self.end = self.runs.last().map_or(self.start, |&(border, _)| border);
            self.runs.pop_if(|&mut (_, kind)| kind == Kind::Data);
        }
    }

    /// The end of the known bytes, and the number of runs below the background.
    pub(crate) fn shape(&self) -> (u64, usize) {
        (self.end, self.runs.len())
    }
}
