//! The borders between kinds: a vector as long as the adds ascend, a tree from the first add that doesn't.
//!
//! It knows neither the request's end nor any limit; the map above it does. All bytes above the highest run are
//! background data, which isn't stored.

use alloc::collections::btree_map;
use core::slice;

use crate::Kind;
use crate::ascending::{Ascending, Run};
use crate::sorted::Sorted;

#[derive(Debug)]
pub(crate) enum Borders {
    Ascending(Ascending),
    Sorted(Sorted),
}

impl Borders {
    pub(crate) const fn new(start: u64) -> Self {
        Self::Ascending(Ascending::new(start))
    }

    /// Returns empty borders from `start` on that have the memory of these, which are left without any.
    pub(crate) fn take(&mut self, start: u64) -> Self {
        match core::mem::replace(self, Self::new(start)) {
            Self::Ascending(mut runs) => {
                runs.reset(start);
                Self::Ascending(runs)
            }
            Self::Sorted(_) => Self::new(start),
        }
    }

    /// The memory that [`take`](Self::take) hands on, in bytes.
    pub(crate) const fn capacity(&self) -> usize {
        match self {
            Self::Ascending(runs) => runs.capacity(),
            Self::Sorted(_) => 0,
        }
    }

    /// Makes `offset..end` (not empty, at or above the start) `kind`, whatever it was before (E3, E4).
    #[inline]
    pub(crate) fn add(&mut self, offset: u64, end: u64, kind: Kind) {
        match self {
            Self::Ascending(runs) => {
                if !runs.add(offset, end, kind) {
                    let mut runs = Sorted::from_ascending(runs);
                    runs.add(offset, end, kind);
                    *self = Self::Sorted(runs);
                }
            }
            Self::Sorted(runs) => runs.add(offset, end, kind),
        }
    }

    /// The number of stored runs; the background above them isn't stored.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Ascending(runs) => runs.runs.len(),
            Self::Sorted(runs) => runs.runs.len(),
        }
    }

    /// The end of the lowest run, in bytes; `None` if there is only background.
    pub(crate) fn first_end(&self) -> Option<u64> {
        self.iter().next().map(|run| run.end)
    }

    /// Forgets all from `end` on.
    pub(crate) fn cut(&mut self, end: u64) {
        match self {
            Self::Ascending(runs) => runs.cut(end),
            Self::Sorted(runs) => runs.cut(end),
        }
    }

    /// Drops all runs except the `max` lowest ones (at least 1), and returns where the dropped ones began.
    pub(crate) fn keep_lowest(&mut self, max: usize) -> u64 {
        match self {
            Self::Ascending(runs) => runs.keep_lowest(max),
            Self::Sorted(runs) => runs.keep_lowest(max),
        }
    }

    pub(crate) fn iter(&self) -> Iter<'_> {
        match self {
            Self::Ascending(runs) => Iter::Ascending(runs.runs.iter()),
            Self::Sorted(runs) => Iter::Sorted(runs.runs.iter()),
        }
    }
}

/// The stored runs, from the lowest upwards.
#[derive(Debug)]
pub(crate) enum Iter<'a> {
    Ascending(slice::Iter<'a, Run>),
    Sorted(btree_map::Iter<'a, u64, Kind>),
}

impl Iterator for Iter<'_> {
    type Item = Run;

    #[inline]
    fn next(&mut self) -> Option<Run> {
        match self {
            Self::Ascending(runs) => runs.next().copied(),
            Self::Sorted(runs) => runs.next().map(|(&end, &kind)| Run { end, kind }),
        }
    }
}
