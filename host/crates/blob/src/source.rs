//! The contract of a blob's bytes, for files and for any other source.

use std::fmt::Debug;
use std::pin::Pin;

use bytes::Bytes;
use device::WriteFlags;

use crate::durability::Unflushed;
use crate::error::BlobError;

/// The boxed future of a source's operation.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, BlobError>> + Send + 'a>>;

/// The bytes behind a blob: a file, or something remote. Plugins, filters and reads by reference can't tell which.
///
/// Offsets and lengths are in bytes. Calls may overlap. The caller has checked that ranges lie inside [`Facts::size`],
/// and calls a method that changes bytes only if the source is [writable](Facts::writable). No method blocks its
/// thread: those that may take long return a future. A caller may drop a future before it has completed; each method
/// says what becomes of its work then.
pub trait Source: Debug + Send + Sync + 'static {
    /// The facts of this source since it was opened. Returns at once.
    fn facts(&self) -> &Facts;

    /// Whether changes await a flush. The source notes changes itself, because a change may go on after its future was
    /// dropped.
    fn unflushed(&self) -> &Unflushed;

    /// Fills `bytes` from `offset` as far as possible without waiting, and returns how many bytes it filled, from none
    /// to all. Returns at once. It hides errors; the [`read`](Self::read) that follows reports them.
    fn read_cached(&self, offset: u64, bytes: &mut [u8]) -> usize;

    /// Reads exactly `length` bytes. Dropping the future is safe.
    ///
    /// # Errors
    /// I/O failed, or the source has shrunk.
    fn read(&self, offset: u64, length: usize) -> Answer<'_, Vec<u8>>;

    /// Writes `bytes` at `offset`, durably if the flags have FUA. If the future is dropped, the bytes may be written
    /// wholly, in part or not at all, and count as a change.
    ///
    /// # Errors
    /// I/O failed. Some of the bytes may be written.
    fn write(&self, offset: u64, bytes: Bytes, flags: WriteFlags) -> Answer<'_, ()>;

    /// Makes the range read as zeroes, durably if the flags have FUA, unless that requires writing zeroes. With NO_HOLE
    /// the range stays allocated. If the future is dropped, as for [`write`](Self::write).
    ///
    /// # Errors
    /// I/O failed. [`BlobError::Unsupported`], without a change, if the caller has to write zeroes.
    fn zero(&self, offset: u64, length: u64, flags: WriteFlags) -> Answer<'_, ()>;

    /// Gives up the range: a hint, but durable if the flags have FUA. If the future is dropped, as for
    /// [`write`](Self::write).
    ///
    /// # Errors
    /// I/O failed.
    fn trim(&self, offset: u64, length: u64, flags: WriteFlags) -> Answer<'_, ()>;

    /// Makes durable every change that was confirmed before the call. Dropping the future is safe: a flush that has
    /// begun completes.
    ///
    /// # Errors
    /// I/O failed: earlier changes may be lost, and every later flush fails too.
    fn flush(&self) -> Answer<'_, ()>;

    /// The data and holes of the range, from `offset` on, without gaps. After `most` extents the list ends early. If
    /// extents aren't [known](Facts::extents_known), all is data. Dropping the future is safe.
    ///
    /// # Errors
    /// I/O failed.
    fn extents(&self, offset: u64, length: u64, most: usize) -> Answer<'_, Vec<SourceExtent>>;

    /// Starts reading the range ahead: a hint, which the source may ignore. Returns at once.
    fn prefetch(&self, offset: u64, length: u64);
}

/// A range of a source that is either all data or all hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceExtent {
    /// The first byte.
    pub offset: u64,
    /// The length in bytes, 1 or more.
    pub length: u64,
    /// Whether the range is data; else it's a hole, which reads as zeroes.
    pub data: bool,
}

impl SourceExtent {
    /// The first byte after the range.
    pub(crate) fn end(&self) -> u64 {
        self.offset + self.length
    }
}

/// The properties of an open source, which never change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The size in bytes when the source was opened. A blob never grows for its plugin.
    pub size: u64,
    /// Two open sources with the same identity have the same bytes.
    pub identity: Identity,
    /// Whether the bytes are those of one version of the source, and so can't change.
    pub pinned: bool,
    /// Whether it may be changed.
    pub writable: bool,
    /// Whether it distinguishes holes from data.
    pub extents_known: bool,
}

/// What distinguishes a source from all others.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Identity {
    /// A file of this machine.
    File {
        /// The number of the file system.
        device: u64,
        /// The number of the file in it.
        inode: u64,
    },
    /// A source with an address, which contains no secret.
    Address(String),
}
