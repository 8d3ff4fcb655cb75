//! A region that a plugin is reporting, piece by piece.

use std::ops::Range;

use super::{Location, Region};

/// The reason for rejecting a piece: it begins below the end of the piece before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Downwards;

/// A region that grows piece by piece, within a bound.
///
/// Whatever the plugin reports, it takes memory for at most `most` runs. If there are more, those furthest below the
/// wanted byte go first.
#[derive(Debug)]
pub(crate) struct Draft {
    /// The offset of the byte that a request waits for.
    wanted: u64,
    /// The size of the export in bytes.
    size: u64,
    /// One less than the most runs that are kept.
    most: usize,
    /// Whether the draft takes no more pieces: it has as many runs as it may, and the wanted byte is known.
    full: bool,
    region: Option<Region<Location>>,
}

impl Draft {
    /// An empty draft for the byte at `wanted` of an export of `size` bytes. It keeps at most `most` runs, and at least
    /// 3.
    #[must_use]
    pub(crate) fn new(wanted: u64, size: u64, most: usize) -> Self {
        Self {
            wanted,
            size,
            most: most.max(3) - 1,
            full: false,
            region: None,
        }
    }

    /// Adds a piece: `length` bytes from `position` on. Bytes past the export's end don't count. `Ok(true)` means that
    /// the draft takes no more pieces.
    ///
    /// # Errors
    /// The piece begins below the end of the one before it.
    pub(crate) fn add(
        &mut self,
        position: u64,
        length: u64,
        place: Location,
    ) -> Result<bool, Downwards> {
        let end = position.saturating_add(length).min(self.size);
        let told = self.region.as_ref().map(Region::end);
        if told.is_some_and(|told| position < told) {
            return Err(Downwards);
        }
        if !self.full && position < end {
            self.put(position..end, place);
        }
        Ok(self.full || told.is_some_and(|told| told >= self.size))
    }

    fn put(&mut self, piece: Range<u64>, place: Location) {
        let Some(region) = &mut self.region else {
            self.region = Region::new(piece, place);
            return;
        };
        // A piece adds two runs at most: the gap before it, and itself.
        region.push(piece.start - region.end(), Location::Computed);
        region.push(piece.end - piece.start, place);
        while region.runs() > self.most && region.forget_first_below(self.wanted) {}
        self.full = region.runs() >= self.most && region.end() > self.wanted;
    }

    /// Returns the region that was reported; `None` if the wanted byte isn't in it.
    #[must_use]
    pub(crate) fn finish(self) -> Option<Region<Location>> {
        let wanted = self.wanted;
        let mut region = self.region?;
        region.shrink();
        (region.start() <= wanted && wanted < region.end()).then_some(region)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: u64) -> Location {
        Location::Blob { blob: 0, offset }
    }

    #[test]
    fn pieces_go_upwards_and_gaps_are_computed() {
        let mut draft = Draft::new(5, 100, 10);
        assert_eq!(draft.add(0, 10, at(0)), Ok(false));
        assert_eq!(draft.add(9, 1, at(0)), Err(Downwards));
        assert_eq!(draft.add(20, 10, Location::Zero), Ok(false));
        let region = draft.finish().unwrap();
        let runs: Vec<_> = region.within(0..30).collect();
        let expected = [
            (0..10, at(0)),
            (10..20, Location::Computed),
            (20..30, Location::Zero),
        ];
        assert_eq!(runs, expected);
    }

    #[test]
    fn a_piece_past_the_export_is_cut_off() {
        let mut draft = Draft::new(99, 100, 10);
        assert_eq!(draft.add(90, u64::MAX, at(0)), Ok(false));
        assert_eq!(draft.add(u64::MAX, u64::MAX, at(0)), Ok(true));
        let region = draft.finish().unwrap();
        assert_eq!((region.start(), region.end()), (90, 100));
    }

    #[test]
    fn a_draft_without_the_wanted_byte_is_nothing() {
        assert_eq!(Draft::new(0, 100, 10).finish(), None);
        for position in [0, 51] {
            let mut draft = Draft::new(50, 100, 10);
            draft.add(position, 50, at(0)).unwrap();
            assert_eq!(draft.finish(), None);
        }
    }

    #[test]
    fn the_bound_holds_and_the_wanted_byte_stays() {
        for wanted in [0, 17, 500, 998, 999] {
            for (most, step) in [(3, 1), (4, 2), (7, 1), (7, 2), (50, 3)] {
                let mut draft = Draft::new(wanted, 1000, most);
                for position in (0..1000).step_by(step) {
                    draft.add(position, 1, at(5000 - position)).unwrap();
                    let runs = draft.region.as_ref().map_or(0, Region::runs);
                    assert!(runs <= most, "{runs} of {most}");
                }
                let region = draft.finish();
                // With gaps, the last byte may lie in none of the pieces.
                assert!(
                    region.is_some() || wanted == 999 && step > 1,
                    "{wanted} {most} {step}"
                );
            }
        }
    }
}
