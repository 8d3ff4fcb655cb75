//! Maps of exports: their extents as text, as numbers and as pictures.
//!
//! Owns the formats that `nbdbox map` prints. Takes extents one at a time in ascending order, and leaves to others
//! where they come from and where the text goes. Its invariant: memory doesn't depend on the number of extents.

mod cells;
mod coalesce;
mod json;
mod picture;
mod svg;
mod table;
mod totals;

use std::io::{self, Write};

use extent_map::{Extent, Kind};

pub(crate) use cells::{Cells, Shares};
pub(crate) use coalesce::Coalesce;
pub(crate) use json::{Json, TotalsJson};
pub(crate) use picture::{Ink, Picture};
pub(crate) use svg::Svg;
pub(crate) use table::{Table, TotalsTable};
pub(crate) use totals::Totals;

/// All kinds, in the order in which pictures stack them: the most costly first.
pub(crate) const KINDS: [Kind; 4] = [Kind::Data, Kind::Undefined, Kind::Zero, Kind::Hole];

/// One way to show a map.
pub(crate) trait Rendering {
    /// Takes the next extent: the one that begins where the last one ended.
    ///
    /// # Errors
    /// Writing failed.
    fn extent(&mut self, extent: &Extent, out: &mut dyn Write) -> io::Result<()>;

    /// Writes the rest. No extent may follow.
    ///
    /// # Errors
    /// Writing failed.
    fn finish(&mut self, out: &mut dyn Write) -> io::Result<()>;
}

/// The name of a kind in nbdinfo.
#[must_use]
pub(crate) const fn description(kind: Kind) -> &'static str {
    match kind {
        Kind::Data => "data",
        Kind::Undefined => "hole",
        Kind::Zero => "zero",
        Kind::Hole => "hole,zero",
    }
}

/// The meaning of a kind, for legends.
const fn meaning(kind: Kind) -> &'static str {
    match kind {
        Kind::Data => "allocated",
        Kind::Undefined => "not allocated, reads as anything",
        Kind::Zero => "allocated, reads as zeroes",
        Kind::Hole => "not allocated, reads as zeroes",
    }
}

/// The place of a kind in [`KINDS`].
const fn rank(kind: Kind) -> usize {
    match kind {
        Kind::Data => 0,
        Kind::Undefined => 1,
        Kind::Zero => 2,
        Kind::Hole => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The extents with these lengths and kinds, from offset 0 on.
    pub(super) fn extents(map: &[(u64, Kind)]) -> impl Iterator<Item = Extent> {
        map.iter().scan(0, |offset, &(length, kind)| {
            let extent = Extent {
                offset: *offset,
                length,
                kind,
            };
            *offset += length;
            Some(extent)
        })
    }

    /// Everything that a rendering writes for these extents.
    pub(super) fn rendered(mut rendering: impl Rendering, map: &[(u64, Kind)]) -> String {
        let mut out = Vec::new();
        for extent in extents(map) {
            rendering.extent(&extent, &mut out).unwrap();
        }
        rendering.finish(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn kinds_stand_where_their_rank_says() {
        for (index, kind) in KINDS.into_iter().enumerate() {
            assert_eq!(rank(kind), index);
        }
    }
}
