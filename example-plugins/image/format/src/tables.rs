//! The tables of a disk whose bytes are in one file: the place of each range.

use std::ops::Range;

use crate::Result;

/// The place of a range of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stretch {
    /// Not stored: it reads as zeroes.
    Hole,
    /// In the file, at this offset in bytes.
    Data(u64),
    /// At this offset of the file of a fixed image, which may have holes there.
    Flat(u64),
    /// Past the end of the file, where QEMU returns zeroes.
    Lacking,
}

/// The tables of an image that is one file. They are read and checked at each use.
pub trait Tables {
    /// The disk's size in bytes.
    fn size(&self) -> u64;

    /// The unit of the tables, in bytes.
    fn grain(&self) -> u64;

    /// Whether a read touched table entries past the end of the file. They count as zeroes.
    fn lacks(&self) -> bool;

    /// The range around the byte at `offset` that one lookup should cover.
    fn reach(&self, offset: u64) -> Range<u64>;

    /// The place of the byte at `offset`, and the number of bytes that continue there: at least 1, at most `length`.
    /// `offset` is on the disk and `length` isn't 0.
    ///
    /// # Errors
    /// The tables are damaged there, or can't be read.
    fn stretch(&mut self, offset: u64, length: u64) -> Result<(Stretch, u64)>;
}
