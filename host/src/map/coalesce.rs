//! Joins neighbours of the same kind into one extent.

use extent_map::Extent;

/// Joins neighbours. Holds the extent that may still grow.
#[derive(Clone, Debug, Default)]
pub(crate) struct Coalesce {
    growing: Option<Extent>,
}

impl Coalesce {
    /// Takes the next extent. Returns the one before it, if that can't grow any more.
    pub(crate) fn push(&mut self, next: Extent) -> Option<Extent> {
        match &mut self.growing {
            Some(last) if last.kind == next.kind && last.offset + last.length == next.offset => {
                last.length += next.length;
                None
            }
            growing => growing.replace(next),
        }
    }

    /// Returns the last extent, if there is one.
    pub(crate) fn finish(&mut self) -> Option<Extent> {
        self.growing.take()
    }
}

#[cfg(test)]
mod tests {
    use extent_map::Kind;

    use super::*;

    fn coalesced(pieces: &[(u64, Kind)]) -> Vec<(u64, u64, Kind)> {
        let mut coalesce = Coalesce::default();
        let mut offset = 0;
        let mut whole = Vec::new();
        for &(length, kind) in pieces {
            whole.extend(coalesce.push(Extent {
                offset,
                length,
                kind,
            }));
            offset += length;
        }
        whole.extend(coalesce.finish());
        whole
            .iter()
            .map(|extent| (extent.offset, extent.length, extent.kind))
            .collect()
    }

    #[test]
    fn equal_neighbours_are_one() {
        use Kind::{Data, Hole};
        assert_eq!(coalesced(&[]), []);
        assert_eq!(
            coalesced(&[(1, Data), (2, Data), (4, Hole), (8, Data), (16, Data)]),
            [(0, 3, Data), (3, 4, Hole), (7, 24, Data)]
        );
    }
}
