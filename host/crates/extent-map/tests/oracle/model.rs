//! The oracle: the same rules, with one entry for every unit of the range and nothing clever.
//!
//! The property tests (`tests/oracle.rs`) and the fuzz target share it, so that both mean the same by "right". A unit
//! is usually a byte; larger units reach lengths that 32 bits can't hold.

use extent_map::{AddError, Descriptor, Extent, Kind, Progress, Wanted, Width, Wire};

/// The expected behaviour of [`extent_map::ExtentMap`].
#[derive(Debug)]
pub(crate) struct Oracle {
    /// The first byte of the range.
    start: u128,
    /// The bytes of a unit: a power of two, of which `start` is a multiple.
    unit: u128,
    /// The kind of each unit, as if the map never dropped anything.
    kinds: Vec<Kind>,
    /// The number of known units.
    known: usize,
    /// The number of units below the highest end of any add.
    high: usize,
    wanted: Wanted,
    max_extents: usize,
    budget: u64,
    /// Charged calls.
    pub(crate) adds: u64,
    /// Adds that lay partly or wholly outside the range.
    pub(crate) clipped: u64,
    /// Extents that the cap dropped.
    pub(crate) dropped: u64,
}

impl Oracle {
    /// An oracle for `units` units from `start` on.
    pub(crate) fn new(
        start: u64,
        unit: u64,
        units: usize,
        wanted: Wanted,
        max_extents: usize,
    ) -> Self {
        let max_extents = max_extents.max(1);
        Self {
            start: start.into(),
            unit: unit.into(),
            kinds: vec![Kind::Data; units],
            known: units,
            high: 0,
            wanted,
            max_extents,
            budget: 4 * u64::try_from(max_extents).unwrap_or(u64::MAX) + 64,
            adds: 0,
            clipped: 0,
            dropped: 0,
        }
    }

    /// E3, E4, E6, E7, E8.
    pub(crate) fn add(
        &mut self,
        offset: u64,
        length: u64,
        kind: Kind,
    ) -> Result<Progress, AddError> {
        self.charge()?;
        let (from, to) = (u128::from(offset), u128::from(offset) + u128::from(length));
        if to > 1 << 64 {
            return Err(AddError::Overflow);
        }
        // No range contains the byte at 2^64 - 1.
        let to = to.min(u64::MAX.into());
        if length > 0 {
            if from < self.start || to > self.at(self.kinds.len()) {
                self.clipped += 1;
            }
            for unit in 0..self.kinds.len() {
                if from <= self.at(unit) && self.at(unit) < to {
                    self.kinds[unit] = kind;
                    self.high = self.high.max((unit + 1).min(self.known));
                }
            }
            if to >= self.at(self.known) {
                self.high = self.high.max(self.known);
            }
            self.settle();
        }
        Ok(self.progress())
    }

    /// E5, E7.
    pub(crate) fn end_at(&mut self, offset: u64) -> Result<(), AddError> {
        self.charge()?;
        let below = (0..self.known)
            .filter(|&unit| self.at(unit) < offset.into())
            .count();
        self.known = self.known.min(below);
        Ok(())
    }

    /// E6, E8.
    pub(crate) fn progress(&self) -> Progress {
        let full = match self.wanted {
            Wanted::All => self.dropped > 0,
            Wanted::One => self.high >= self.known,
        };
        if full { Progress::Full } else { Progress::More }
    }

    /// The end of the known bytes.
    pub(crate) fn end(&self) -> u64 {
        self.at(self.known).try_into().unwrap_or(u64::MAX)
    }

    /// E2, E4.
    pub(crate) fn extents(&self) -> Vec<Extent> {
        let mut extents = Vec::new();
        for (from, to, kind) in runs(&self.kinds[..self.known]) {
            let offset = self.at(from).try_into().unwrap_or(u64::MAX);
            let length = (self.at(to) - self.at(from)).try_into().unwrap_or(u64::MAX);
            extents.push(Extent {
                offset,
                length,
                kind,
            });
        }
        extents
    }

    /// E10. `wire.min_block` is a power of two.
    pub(crate) fn describe(&self, wire: &Wire) -> Vec<Descriptor> {
        let block = u128::from(wire.min_block);
        let block_of = |unit| self.at(unit) / block;
        // The blocks that hold something known, or all of them if nothing is known.
        let last_block = block_of(self.known.checked_sub(1).unwrap_or(self.kinds.len()));
        let mut kinds: Vec<Kind> = Vec::new();
        let mut first = 0;
        for unit in 0..self.kinds.len() {
            let told = if unit < self.known {
                self.kinds[unit]
            } else {
                Kind::Data
            };
            if block_of(unit) > last_block {
                break;
            }
            if block_of(unit) != block_of(first) {
                first = unit;
            }
            let both = kinds.get(first).map_or(told, |&kind| kind.and(told));
            kinds.push(both);
            kinds[first..].fill(both);
        }
        let room = match self.wanted {
            Wanted::All => wire.max_descriptors.max(1),
            Wanted::One => 1,
        };
        let longest = match wire.width {
            Width::Compact32 => u128::from(u32::MAX) / block.max(512) * block.max(512),
            Width::Wide64 => u128::MAX,
        };
        let mut reply = Vec::new();
        for (from, to, kind) in runs(&kinds) {
            let mut rest = self.at(to) - self.at(from);
            while rest > 0 && reply.len() < room {
                let length = rest.min(longest);
                rest -= length;
                let length = length.try_into().unwrap_or(u64::MAX);
                reply.push(Descriptor {
                    length,
                    flags: kind.flags(),
                });
            }
        }
        reply
    }

    /// The kind that the plugin gave to the byte at `offset`, also if the map dropped it.
    pub(crate) fn said(&self, offset: u64) -> Kind {
        let unit = (u128::from(offset) - self.start) / self.unit;
        usize::try_from(unit)
            .ok()
            .and_then(|unit| self.kinds.get(unit).copied())
            .unwrap_or_default()
    }

    fn charge(&mut self) -> Result<(), AddError> {
        if self.adds == self.budget {
            return Err(AddError::BudgetExhausted);
        }
        self.adds += 1;
        Ok(())
    }

    fn settle(&mut self) {
        let mut extents = runs(&self.kinds[..self.known]);
        match self.wanted {
            Wanted::All => {
                extents.pop_if(|&mut (_, _, kind)| kind == Kind::Data);
                if let Some(&(from, _, _)) = extents.get(self.max_extents) {
                    self.known = from;
                    self.dropped += u64::try_from(extents.len() - self.max_extents).unwrap_or(0);
                }
            }
            Wanted::One => {
                if let Some(&(_, to, _)) = extents.first().filter(|&&(_, to, _)| to < self.high) {
                    self.known = to;
                }
            }
        }
    }

    /// The first byte of `unit`.
    fn at(&self, unit: usize) -> u128 {
        self.start + self.unit * u128::try_from(unit).unwrap_or(u128::MAX)
    }
}

/// Runs of equal kinds: from, to (exclusive), kind.
fn runs(kinds: &[Kind]) -> Vec<(usize, usize, Kind)> {
    let mut runs: Vec<(usize, usize, Kind)> = Vec::new();
    for (unit, &kind) in kinds.iter().enumerate() {
        match runs.last_mut() {
            Some(last) if last.2 == kind => last.1 = unit + 1,
            _ => runs.push((unit, unit + 1, kind)),
        }
    }
    runs
}
