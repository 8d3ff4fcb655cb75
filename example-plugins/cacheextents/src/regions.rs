//! The cached extents of each region: in order, without gaps.

use std::collections::BTreeMap;

use nbdbox_plugin::{Extent, Result, next};

/// Extents in one answer of the layer below, which is one entry of the cache.
const ANSWER: u32 = 4096;

/// Answers in the cache. When there are more, the filter drops all of them. Bounds the memory to 6 MiB.
const KEPT: usize = 64;

/// Answers of the layer below, by their start. None reaches beyond its region.
pub(crate) struct Regions {
    size: u64,
    region: u64,
    answers: BTreeMap<u64, Vec<Extent>>,
}

impl Regions {
    pub(crate) fn new(size: u64, region: u64) -> Self {
        Self {
            size,
            region,
            answers: BTreeMap::new(),
        }
    }

    /// The cached extents around `at`, up to the end of one answer.
    pub(crate) fn at(&mut self, at: u64) -> Result<&[Extent]> {
        let found = self.answers.range(..=at).next_back();
        let found = found.filter(|(_, answer)| end_of(answer) > at);
        let start = match found {
            Some((start, _)) => *start,
            None => self.ask(at)?,
        };
        Ok(self.answers.get(&start).map_or(&[], Vec::as_slice))
    }

    /// Requests extents from the start of the region on, or from the end of its cached part.
    fn ask(&mut self, at: u64) -> Result<u64> {
        let region = at - at % self.region;
        let before = self.answers.range(region..=at).next_back();
        let known = before.map(|(_, answer)| end_of(answer));
        // If the answer doesn't reach the client's offset, request extents from there on.
        let mut start = known.unwrap_or(region);
        let end = (region + self.region).min(self.size);
        if self.answers.len() >= KEPT {
            self.answers.clear();
        }
        let mut answer = next::list_extents(start, end - start, ANSWER)?;
        if end_of(&answer) <= at {
            start = at;
            answer = next::list_extents(at, end - at, ANSWER)?;
        }
        self.answers.insert(start, answer);
        Ok(start)
    }

    /// Drops the regions that a range touches.
    pub(crate) fn forget(&mut self, offset: u64, length: u64) {
        let first = offset - offset % self.region;
        let end = (offset + length).next_multiple_of(self.region);
        let gone: Vec<u64> = self.answers.range(first..end).map(|(at, _)| *at).collect();
        for at in gone {
            self.answers.remove(&at);
        }
    }
}

fn end_of(answer: &[Extent]) -> u64 {
    answer.last().map_or(0, |last| last.offset + last.length)
}
