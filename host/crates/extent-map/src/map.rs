//! The map: the request, its limits, and the extents that the plugin added.
//!
//! It owns the limits (range, cap, budget) and the end of the known bytes; [`Borders`] owns the runs. Invariant between
//! calls: `start ≤ end ≤ range.end`, no run above `end`, at most `max_extents` runs (E6), and at most one for
//! [`Wanted::One`].

use core::iter;
use core::ops::Range;

use crate::borders::Borders;
use crate::{AddError, EmptyRange, Extent, Kind};

/// Calls that every plugin may make in addition to four for each extent of the cap (E7): room for a plugin that adds
/// piece by piece, or repeatedly, under a small cap.
const SPARE_CALLS: u64 = 64;

/// How much of the range the client wants to know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Wanted {
    /// All of it, in as many extents as fit.
    #[default]
    All,
    /// Only the first extent: the request has `NBD_CMD_FLAG_REQ_ONE` (E8).
    One,
}

/// Whether the plugin should go on adding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Progress {
    /// The map accepts more.
    More,
    /// A plugin that walks upwards can stop: the reply won't have anything above (E6, E8). A plugin that adds in
    /// another order may go on: adds below [`ExtentMap::end`] still count.
    Full,
}

/// The known kinds of the bytes of one request (E1).
///
/// A guest decides the order, number and content of the adds. Still, the map's memory, its time for each call and the
/// number of calls stay bounded, and its answer correct.
#[derive(Debug)]
pub struct ExtentMap {
    range: Range<u64>,
    wanted: Wanted,
    max_extents: usize,
    /// The most calls that may be charged.
    budget: u64,

    /// Nothing is known from here on; at most `range.end`.
    end: u64,
    /// The highest end of any add so far, clipped to the value of `end` at that time; at least `range.start`.
    high: u64,
    borders: Borders,

    adds: u64,
    clipped: u64,
    dropped: u64,
}

impl ExtentMap {
    /// A map for the bytes `range` of an export, all of it data so far (E2).
    ///
    /// It keeps at most `max_extents` extents (E6); 0 counts as 1. Data that extends up to [`end`](Self::end) doesn't
    /// count: it costs nothing, and is there from the start. The map allocates nothing before the first add that
    /// changes something. For a request of n blocks of the export's minimum size, a cap above n has no use (E9).
    ///
    /// # Errors
    ///
    /// [`EmptyRange`] if `range` has no byte, or is inverted.
    pub fn new(range: Range<u64>, wanted: Wanted, max_extents: usize) -> Result<Self, EmptyRange> {
        check(&range)?;
        let borders = Borders::new(range.start);
        Ok(Self::empty(range, wanted, max_extents, borders))
    }

    /// A map with the same range and bounds, without any adds. Allocates nothing.
    #[must_use]
    pub fn fresh(&self) -> Self {
        let borders = Borders::new(self.range.start);
        Self::empty(self.range.clone(), self.wanted, self.max_extents, borders)
    }

    /// Turns this map into the one that [`new`](Self::new) makes, and keeps its memory.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new); then the map is unchanged.
    pub fn reset(
        &mut self,
        range: Range<u64>,
        wanted: Wanted,
        max_extents: usize,
    ) -> Result<(), EmptyRange> {
        check(&range)?;
        self.begin(range, wanted, max_extents);
        Ok(())
    }

    /// Forgets all adds and charges.
    pub fn clear(&mut self) {
        self.begin(self.range.clone(), self.wanted, self.max_extents);
    }

    fn begin(&mut self, range: Range<u64>, wanted: Wanted, max_extents: usize) {
        let borders = self.borders.take(range.start);
        *self = Self::empty(range, wanted, max_extents, borders);
    }

    fn empty(range: Range<u64>, wanted: Wanted, max_extents: usize, borders: Borders) -> Self {
        let max_extents = max_extents.max(1);
        let budget = u64::try_from(max_extents)
            .unwrap_or(u64::MAX)
            .saturating_mul(4)
            .saturating_add(SPARE_CALLS);
        Self {
            end: range.end,
            high: range.start,
            borders,
            range,
            wanted,
            max_extents,
            budget,
            adds: 0,
            clipped: 0,
            dropped: 0,
        }
    }

    /// Makes the `length` bytes from `offset` on `kind`, whatever they were before (E3).
    ///
    /// Equal neighbours become one extent (E4). Bytes outside the range, or at or above [`end`](Self::end), are
    /// ignored; an add without a byte inside changes nothing. To add a list of extents, call this for each of them, so
    /// that each is charged (E7).
    ///
    /// The answer is [`Progress::Full`]
    /// - after the cap has dropped extents (E6), from then on;
    /// - for [`Wanted::One`], once the first extent ends below the highest end of any add, or an add has reached (or
    ///   lies above) the end of the known bytes (E8). The map then forgets all above the first extent.
    ///
    /// # Errors
    ///
    /// [`AddError::Overflow`] if `offset + length` is above 2^64 (exactly 2^64 is not); [`AddError::BudgetExhausted`]
    /// if 4 · `max_extents` + 64 calls have been made before (E7).
    #[inline]
    pub fn add(&mut self, offset: u64, length: u64, kind: Kind) -> Result<Progress, AddError> {
        self.charge()?;
        let end = match offset.overflowing_add(length) {
            (end, false) => end,
            // Exactly 2^64: no range contains the last byte, so one less is the same.
            (0, true) => u64::MAX,
            (_, true) => return Err(AddError::Overflow),
        };
        if length > 0 {
            self.place(offset, end, kind);
        }
        Ok(self.progress())
    }

    /// Makes all bytes from `offset` on unknown (E5): the reply will end there.
    ///
    /// Later adds can't undo that. An `offset` at or above [`end`](Self::end) changes nothing. With one at or below the
    /// start, nothing is known at all, which [`Wire`](crate::Wire) describes as data for the whole request.
    ///
    /// # Errors
    ///
    /// [`AddError::BudgetExhausted`] as for [`add`](Self::add): these calls are charged too (E7).
    pub fn end_at(&mut self, offset: u64) -> Result<(), AddError> {
        self.charge()?;
        if offset < self.end {
            self.end = offset.max(self.range.start);
            self.borders.cut(self.end);
        }
        Ok(())
    }

    /// The result of a next [`add`](Self::add) that changes nothing.
    #[inline]
    #[must_use]
    pub fn progress(&self) -> Progress {
        let full = match self.wanted {
            Wanted::All => self.dropped > 0,
            Wanted::One => self.high >= self.end,
        };
        if full { Progress::Full } else { Progress::More }
    }

    /// The end of the known bytes, counted from the start of the export: never above the range's end, never below its
    /// start, and never moved up (E5, E6, E8).
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.end
    }

    /// The highest end of any add so far, clipped to the known bytes of that time; the range's start if there was no
    /// add. The plugin hasn't described the bytes from here up to [`end`](Self::end): they are data because that is
    /// safe (E2).
    #[must_use]
    pub const fn told(&self) -> u64 {
        self.high
    }

    /// The range of the request, in bytes from the start of the export (E1).
    #[must_use]
    pub const fn range(&self) -> &Range<u64> {
        &self.range
    }

    /// How much of the range the client wants to know (E8).
    #[must_use]
    pub const fn wanted(&self) -> Wanted {
        self.wanted
    }

    /// The extents from the range's start up to [`end`](Self::end): sorted, disjoint, without gaps, neighbours of
    /// different kinds (E2, E4).
    ///
    /// At most `max_extents`, plus the data above them (E6). None if nothing is known (E5).
    pub fn iter(&self) -> impl Iterator<Item = Extent> + '_ {
        let background = crate::ascending::Run {
            end: self.end,
            kind: Kind::Data,
        };
        let mut offset = self.range.start;
        self.borders
            .iter()
            .chain(iter::once(background))
            .filter_map(move |run| {
                let length = run.end.checked_sub(offset).filter(|&length| length > 0)?;
                let extent = Extent {
                    offset,
                    length,
                    kind: run.kind,
                };
                offset = run.end;
                Some(extent)
            })
    }

    /// The memory that a [`clear`](Self::clear) keeps, in bytes, in addition to the map itself.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.borders.capacity()
    }

    /// The number of charged calls (E7): all adds, also useless and refused ones, and all [`end_at`](Self::end_at)s.
    #[must_use]
    pub const fn adds(&self) -> u64 {
        self.adds
    }

    /// The number of calls that are left before [`AddError::BudgetExhausted`] (E7).
    #[must_use]
    pub const fn remaining(&self) -> u64 {
        self.budget.saturating_sub(self.adds)
    }

    /// The number of adds that lay partly or wholly outside the range (E3).
    #[must_use]
    pub const fn clipped(&self) -> u64 {
        self.clipped
    }

    /// The number of extents that the cap has dropped (E6).
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    #[inline]
    fn charge(&mut self) -> Result<(), AddError> {
        if self.adds >= self.budget {
            return Err(AddError::BudgetExhausted);
        }
        self.adds = self.adds.saturating_add(1);
        Ok(())
    }

    /// Clips `offset..end` (not empty) and stores it.
    #[inline]
    fn place(&mut self, offset: u64, end: u64, kind: Kind) {
        if offset < self.range.start || end > self.range.end {
            self.clipped = self.clipped.saturating_add(1);
        }
        let offset = offset.max(self.range.start);
        let end = end.min(self.end);
        self.high = self.high.max(end);
        if offset < end {
            self.borders.add(offset, end, kind);
        }
        match self.wanted {
            Wanted::All if self.borders.len() > self.max_extents => self.drop_highest(),
            Wanted::All => {}
            Wanted::One => self.drop_all_but_first(),
        }
    }

    /// Enforces the cap (E6).
    #[cold]
    fn drop_highest(&mut self) {
        let over = self.borders.len().saturating_sub(self.max_extents);
        self.end = self.borders.keep_lowest(self.max_extents);
        self.dropped = self
            .dropped
            .saturating_add(u64::try_from(over).unwrap_or(u64::MAX));
    }

    /// When something is known above the first extent, an ascending plugin won't change that extent any more (E8).
    fn drop_all_but_first(&mut self) {
        let first_end = self.borders.first_end().unwrap_or(self.end);
        if first_end < self.high {
            self.end = first_end;
            self.borders.cut(first_end);
        }
    }
}

fn check(range: &Range<u64>) -> Result<(), EmptyRange> {
    if range.is_empty() {
        return Err(EmptyRange {
            start: range.start,
            end: range.end,
        });
    }
    Ok(())
}
