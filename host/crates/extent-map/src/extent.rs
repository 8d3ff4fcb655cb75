//! A range of bytes of one kind.

use crate::Kind;

/// A range of bytes of one kind, as [`ExtentMap::iter`](crate::ExtentMap::iter) yields it.
///
/// An extent from the map is never empty and lies inside the map's range, so `offset + length` can't overflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Extent {
    /// The first byte, counted from the start of the export.
    pub offset: u64,
    /// The number of bytes, at least 1.
    pub length: u64,
    /// The kind of the bytes.
    pub kind: Kind,
}
