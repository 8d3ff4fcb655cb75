//! The bytes of each kind in a map.

use extent_map::{Extent, Kind};

use super::{KINDS, rank};

/// Sums over the extents of a map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    bytes: [u64; KINDS.len()],
    extents: u64,
}

/// The share of one kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Total {
    pub(super) kind: Kind,
    pub(super) bytes: u64,
    pub(super) percent: f64,
}

impl Totals {
    /// Adds an extent.
    pub(crate) fn add(&mut self, extent: &Extent) {
        let bytes = &mut self.bytes[rank(extent.kind)];
        *bytes = bytes.saturating_add(extent.length);
        self.extents += 1;
    }

    /// Bytes of a kind.
    #[must_use]
    pub(crate) fn bytes(&self, kind: Kind) -> u64 {
        self.bytes[rank(kind)]
    }

    /// Bytes of all kinds.
    #[must_use]
    pub(crate) fn size(&self) -> u64 {
        self.bytes
            .iter()
            .fold(0, |sum, bytes| sum.saturating_add(*bytes))
    }

    /// The number of extents that were added.
    #[must_use]
    pub(crate) fn extents(&self) -> u64 {
        self.extents
    }

    /// The kinds that occur, by type number.
    pub(super) fn by_type(&self) -> impl Iterator<Item = Total> {
        (0..=3)
            .map(Kind::from_flags)
            .filter_map(|kind| self.of(kind))
    }

    /// The kinds that occur, in the order of [`KINDS`].
    pub(super) fn by_rank(&self) -> impl Iterator<Item = Total> {
        KINDS.into_iter().filter_map(|kind| self.of(kind))
    }

    fn of(&self, kind: Kind) -> Option<Total> {
        let bytes = self.bytes(kind);
        let percent = 100.0 * bytes as f64 / self.size() as f64;
        (bytes > 0).then_some(Total {
            kind,
            bytes,
            percent,
        })
    }
}

impl Total {
    /// The percentage for people: never 0 % for a kind that occurs, and never 100 % for one that isn't everything.
    pub(super) fn rounded(&self) -> String {
        match self.percent {
            tiny if tiny < 0.05 => "<0.1%".to_owned(),
            most if (99.95..100.0).contains(&most) => ">99.9%".to_owned(),
            percent => format!("{percent:.1}%"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_not_nothing_and_nearly_all_is_not_all() {
        let rounded = |percent| {
            let (kind, bytes) = (Kind::Data, 1);
            Total {
                kind,
                bytes,
                percent,
            }
            .rounded()
        };
        assert_eq!(rounded(0.000_01), "<0.1%");
        assert_eq!(rounded(99.999), ">99.9%");
        assert_eq!(rounded(100.0), "100.0%");
        assert_eq!(rounded(29.25), "29.2%");
    }
}
