//! Where a blob's bytes are: the contract of files and of whatever else there will be.

use std::fmt::Debug;
use std::pin::Pin;

use bytes::Bytes;
use device::WriteFlags;

use crate::durability::Unflushed;
use crate::error::BlobError;

/// What a source answers, later.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, BlobError>> + Send + 'a>>;

/// What is behind a blob: a file, or something far away. Plugins, filters and reads by reference never know which.
///
/// Calls may overlap. Ranges were checked against [`Facts::size`], and nothing is changed in a source that isn't
/// [writable](Facts::writable). No method may block: what takes a while is awaited. Futures may be dropped before they
/// are done; each method says what becomes of its work then.
pub trait Source: Debug + Send + Sync + 'static {
    /// What is known of it since it was opened. At once.
    fn facts(&self) -> &Facts;

    /// What was changed since its last flush. The source takes note itself, since a change may go on when the future
    /// that asked for it was dropped.
    fn unflushed(&self) -> &Unflushed;

    /// Fills `bytes` from `offset` as far as that takes no waiting, and says how many it got: from all of them to none.
    /// At once. An error shows where waiting is allowed, in [`read`](Self::read).
    fn read_cached(&self, offset: u64, bytes: &mut [u8]) -> usize;

    /// Reads exactly `length` bytes. Dropping it is safe: the bytes are read for nobody, or not at all.
    ///
    /// # Errors
    /// They can't be had: I/O, or the source has shrunk.
    fn read(&self, offset: u64, length: usize) -> Answer<'_, Vec<u8>>;

    /// Writes `bytes`, durably with FUA. Dropping it is safe for the source: the bytes are written all the same, in
    /// part, or not at all, and count as a change.
    ///
    /// # Errors
    /// I/O. Some may be written.
    fn write(&self, offset: u64, bytes: Bytes, flags: WriteFlags) -> Answer<'_, ()>;

    /// Makes the range read as zeroes, durably with FUA, where that takes no writing of zeroes by us. Dropping it is as
    /// for [`write`](Self::write).
    ///
    /// # Errors
    /// I/O; [`BlobError::Unsupported`], without a change, where zeroes would have to be written.
    fn zero(&self, offset: u64, length: u64, flags: WriteFlags) -> Answer<'_, ()>;

    /// The bytes aren't needed any more: a hint, but durable with FUA. Dropping it is as for [`write`](Self::write).
    ///
    /// # Errors
    /// I/O.
    fn trim(&self, offset: u64, length: u64, flags: WriteFlags) -> Answer<'_, ()>;

    /// Makes durable every change that was answered before. Dropping it is safe: a flush that began is finished.
    ///
    /// # Errors
    /// I/O: what was changed before may be lost, and every later flush fails too.
    fn flush(&self) -> Answer<'_, ()>;

    /// Where the range has data and where holes, from `offset` on without a gap; at most `most` extents, then the list
    /// ends early. Where it isn't [known](Facts::extents_known), all is data. Dropping it is safe.
    ///
    /// # Errors
    /// I/O.
    fn extents(&self, offset: u64, length: u64, most: usize) -> Answer<'_, Vec<SourceExtent>>;

    /// Starts reading ahead; a hint, which may be dropped. At once.
    fn prefetch(&self, offset: u64, length: u64);
}

/// A stretch of a source, in bytes: all of it data, or all of it a hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceExtent {
    /// Start.
    pub offset: u64,
    /// Length, 1 or more.
    pub length: u64,
    /// Allocated, or a hole, which reads as zeroes.
    pub data: bool,
}

impl SourceExtent {
    /// The first byte behind it.
    pub(crate) fn end(&self) -> u64 {
        self.offset + self.length
    }
}

/// What is known of a source while it's open. Never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Size in bytes, when it was opened. A blob never grows for its plugin.
    pub size: u64,
    /// Of two open sources that are equal in this the bytes are the same ones.
    pub identity: Identity,
    /// Whether the bytes are those of one version, which can't become others.
    pub pinned: bool,
    /// Whether it may be changed.
    pub writable: bool,
    /// Whether holes can be told from data.
    pub extents_known: bool,
}

/// Which one a source is, among all there are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Identity {
    /// A file of this machine.
    File {
        /// The file system's number.
        device: u64,
        /// The file's.
        inode: u64,
    },
    /// Something with an address, in which there is nothing secret.
    Address(String),
}
