//! The runs of a map whose adds come in any order, at O(log n) each (E9).

use alloc::collections::BTreeMap;
use core::ops::Bound::{Excluded, Unbounded};

use crate::Kind;
use crate::ascending::Ascending;

/// Runs by their exclusive end, each from the end of the one below it, the first from `start`. Neighbours differ. The
/// highest isn't data, since all bytes above it are background data anyway.
#[derive(Debug)]
pub(crate) struct Sorted {
    start: u64,
    pub(crate) runs: BTreeMap<u64, Kind>,
}

impl Sorted {
    /// Takes over the runs of an ascending map. The adds that made them pay for the linear time.
    pub(crate) fn from_ascending(ascending: &Ascending) -> Self {
        let runs = ascending
            .runs
            .iter()
            .map(|run| (run.end, run.kind))
            .collect();
        Self {
            start: ascending.start,
            runs,
        }
    }

    /// Makes `offset..end` (not empty, at or above the start) `kind`.
    pub(crate) fn add(&mut self, offset: u64, end: u64, kind: Kind) {
        let touched = self
            .runs
            .range(offset..)
            .next()
            .map(|(&border, &kind)| (border, kind));
        let (below, above) = match touched {
            None => (Kind::Data, Kind::Data),
            Some((border, inside)) if border > end => (inside, inside),
            Some((_, below)) => {
                self.runs
                    .extract_if(offset..=end, |_, _| true)
                    .for_each(drop);
                let above = self.runs.range((Excluded(end), Unbounded)).next();
                (below, above.map_or(Kind::Data, |(_, &kind)| kind))
            }
        };
        if below != kind && offset > self.start {
            self.runs.insert(offset, below);
        }
        if above != kind {
            self.runs.insert(end, kind);
        }
    }

    /// Forgets all from `end` on. The add that made a run has paid for its removal.
    pub(crate) fn cut(&mut self, end: u64) {
        if self.frontier() <= end {
            return;
        }
        while let Some((top, kind)) = self.runs.pop_last() {
            if kind != Kind::Data && self.frontier() < end {
                self.runs.insert(end.min(top), kind);
                return;
            }
        }
    }

    /// Drops all runs except the `max` lowest ones (at least 1), and returns where the dropped ones began.
    pub(crate) fn keep_lowest(&mut self, max: usize) -> u64 {
        while self.runs.len() > max {
            self.runs.pop_last();
        }
        let end = self.frontier();
        if let Some(top) = self
            .runs
            .last_entry()
            .filter(|top| *top.get() == Kind::Data)
        {
            top.remove();
        }
        end
    }

    /// The end of the highest run, in bytes; all above is background.
    fn frontier(&self) -> u64 {
        self.runs
            .last_key_value()
            .map_or(self.start, |(&top, _)| top)
    }
}
