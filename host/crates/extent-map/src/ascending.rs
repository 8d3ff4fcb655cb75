//! The runs of a map whose adds have, so far, only ever touched its upper end.
//!
//! This is how nearly every plugin walks its tables, so it has to be as cheap as pushing to a
//! vector (E9). An add that ends below the highest run is refused: [`Sorted`](crate::sorted) is for
//! those.

use alloc::vec::Vec;

use crate::Kind;

/// One extent, from where the run below it ends up to its own `end`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// Exclusive, in bytes.
    pub(crate) end: u64,
    pub(crate) kind: Kind,
}

/// Runs by ascending end, the first from `start`. Neighbours differ; the highest isn't data, since
/// all above it is background data anyway.
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

    /// Forgets all; the next begin at `start`.
    pub(crate) fn reset(&mut self, start: u64) {
        self.start = start;
        self.runs.clear();
    }

    /// Bytes of memory that it has.
    pub(crate) const fn capacity(&self) -> usize {
        self.runs.capacity().saturating_mul(size_of::<Run>())
    }

    /// Makes `offset..end` (not empty, above the start) `kind`. Refused with `false`, and nothing
    /// changed, if that isn't at the upper end of what is here.
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

    /// Forgets all from `end` on. Every run removed was paid for by the add that made it.
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

    /// Drops all but the `max` lowest runs (at least 1) and tells where the dropped ones began.
    pub(crate) fn keep_lowest(&mut self, max: usize) -> u64 {
        self.runs.truncate(max);
        let end = self.frontier();
        self.runs.pop_if(|top| top.kind == Kind::Data);
        end
    }

    /// Where the highest run ends, in bytes: all above is background.
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
