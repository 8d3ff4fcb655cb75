//! What a format says of a disk whose bytes are in one file: for each range, where they are.

use std::ops::Range;

use crate::Result;

/// Where a range of the disk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stretch {
    /// Nowhere: it reads as zeroes.
    Hole,
    /// In the file, at this offset in bytes.
    Data(u64),
    /// At this offset of a fixed image's file, which may have holes there.
    Flat(u64),
    /// Past the end of the file, where QEMU reads zeroes.
    Lacking,
}

/// The tables of an image that is one file. They are read and checked as they're used.
pub trait Tables {
    /// The disk's size in bytes.
    fn size(&self) -> u64;

    /// The least that has a place of its own, in bytes.
    fn grain(&self) -> u64;

    /// Whether entries of a table were read that the file lacks: they were taken for zeroes.
    fn lacks(&self) -> bool;

    /// What is worth being looked at together with the byte at `offset`.
    fn reach(&self, offset: u64) -> Range<u64>;

    /// Where the byte at `offset` is, and how many bytes from there on carry on in the same way: at least 1, at most
    /// `length`. `offset` is on the disk and `length` isn't 0.
    ///
    /// # Errors
    /// The tables are damaged there, or can't be read.
    fn stretch(&mut self, offset: u64, length: u64) -> Result<(Stretch, u64)>;
}
