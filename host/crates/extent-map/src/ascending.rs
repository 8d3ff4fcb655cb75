//! The runs of a map whose adds so far touched only its upper end.
//!
//! Nearly every plugin walks its tables upwards, so this must be as cheap as pushing to a vector (E9). It refuses an
//! add that ends below the highest run; [`Sorted`](crate::sorted) accepts those.

use alloc::vec::Vec;

use crate::Kind;

/// One extent, from the end of the run below it to its own `end`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// The first byte after it, counted from the start of the export.
    pub(crate) end: u64,
    pub(crate) kind: Kind,
}

/// Runs by ascending end, the first from `start`. Neighbours differ. The highest isn't data, since all bytes above it
/// are background data anyway.
#[derive(Debug)]
pub(crate) struct Ascending {
    pub(crate) start: u64,
    pub(crate) runs: Vec<Run>,
}

impl Ascending {
    pub(crate) const fn new(start: u64) -> Self {
        Self {
            start,
            runs: Vec::new(),
        }
    }

    /// Forgets all runs; the next ones begin at `start`.
    pub(crate) fn reset(&mut self, start: u64) {
        self.start = start;
        self.runs.clear();
    }

    /// The memory that it holds, in bytes.
    pub(crate) const fn capacity(&self) -> usize {
        self.runs.capacity().saturating_mul(size_of::<Run>())
    }

    /// Makes `offset..end` (not empty, above the start) `kind`. If that range isn't at the upper end, returns `false`
    /// and changes nothing.
    #[inline]
    pub(crate) fn add(&mut self, offset: u64, end: u64, kind: Kind) -> bool {
        let frontier = self.frontier();
        if offset < frontier {
            if end < frontier {
                return false;
            }
            self.cut(offset);
        }
        self.append(offset, end, kind);
        true
    }

    /// Forgets all from `end` on. The add that made a run has paid for its removal.
    pub(crate) fn cut(&mut self, end: u64) {
        if self.frontier() <= end {
            return;
        }
        while let Some(top) = self.runs.pop() {
            if top.kind != Kind::Data && self.frontier() < end {
                self.runs.push(Run {
                    end: end.min(top.end),
                    ..top
                });
                return;
            }
        }
    }

    /// Drops all runs except the `max` lowest ones (at least 1), and returns where the dropped ones began.
    pub(crate) fn keep_lowest(&mut self, max: usize) -> u64 {
        self.runs.truncate(max);
        let end = self.frontier();
        self.runs.pop_if(|top| top.kind == Kind::Data);
        end
    }

    /// The end of the highest run, in bytes; all above is background.
    #[inline]
    fn frontier(&self) -> u64 {
        self.runs.last().map_or(self.start, |top| top.end)
    }

    #[inline]
    fn append(&mut self, offset: u64, end: u64, kind: Kind) {
        if kind == Kind::Data {
            return;
        }
        let mut frontier = self.start;
        if let Some(top) = self.runs.last_mut() {
            if top.end == offset && top.kind == kind {
                top.end = end;
                return;
            }
            frontier = top.end;
        }
        if frontier < offset {
            self.runs.push(Run {
                end: offset,
                kind: Kind::Data,
            });
        }
        self.runs.push(Run { end, kind });
    }
}
