//! One stretch of bytes of the same kind.

use crate::Kind;

/// A stretch of bytes of one kind, as [`ExtentMap::iter`](crate::ExtentMap::iter) yields it.
///
/// What the map yields is never empty and lies inside its range, so that `offset + length` can't
/// overflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Extent {
    /// The first byte, counted from the start of the export.
    pub offset: u64,
    /// How many bytes, at least 1.
    pub length: u64,
    /// What they are.
    pub kind: Kind,
}
