//! An open grant: checks ranges once, for every source.

use std::sync::Arc;

use bytes::Bytes;
use device::WriteFlags;
use lanes::Work;

use crate::durability::Unflushed;
use crate::error::BlobError;
use crate::file::{self, FileSource, Use};
use crate::opener::Opener;
use crate::source::{Facts, Source, SourceExtent};
use crate::{Access, Grant};

/// An open blob, under the name by which it was granted. Clones share it.
///
/// The caller checks whether the grant's [access](Self::access) allows an operation. Offsets and lengths are in bytes.
#[derive(Clone, Debug)]
pub struct Blob {
    granted: Arc<Granted>,
}

#[derive(Debug)]
struct Granted {
    name: String,
    access: Access,
    behind: Behind,
    /// For a file, marks it as in use.
    user: Option<Arc<Use>>,
}

/// What is behind a grant. Files are called directly, so that a read from the page cache takes no allocation and no
/// virtual call.
#[derive(Debug)]
pub(crate) enum Behind {
    File(FileSource),
    Other(Arc<dyn Source>),
}

impl Blob {
    /// Opens the operator's file for an export; `work` does later what blocks. Blocks: for two seconds while another
    /// program has the file locked, and on a disk that hangs for as long as it hangs.
    ///
    /// # Errors
    /// Names the grant and the path: the path doesn't exist, access is denied, it's neither a file nor a block device,
    /// or another export or program holds a lock that excludes this one.
    pub fn open(grant: Grant, opener: &Opener, work: Work) -> anyhow::Result<Self> {
        let opened = file::open(&grant, opener, work);
        let (file, user) = opened.map_err(|error| {
            let path = grant.path.display();
            anyhow::anyhow!("blob `{}`: can't open {path}: {error}", grant.name)
        })?;
        let behind = Behind::File(file);
        Ok(Self::new(grant.name, grant.access, behind, Some(user)))
    }

    /// Grants an open source that isn't a file.
    #[must_use]
    pub fn over(name: String, access: Access, source: Arc<dyn Source>) -> Self {
        Self::new(name, access, Behind::Other(source), None)
    }

    fn new(name: String, access: Access, behind: Behind, user: Option<Arc<Use>>) -> Self {
        Self {
            granted: Arc::new(Granted {
                name,
                access,
                behind,
                user,
            }),
        }
    }

    /// The same blob for an export whose blocking work `work` does and is charged for. Returns at once.
    #[must_use]
    pub fn charged_to(&self, work: &Work) -> Self {
        match self.behind() {
            Behind::File(file) => self.over_file(file.charged_to(work)),
            Behind::Other(_) => self.clone(),
        }
    }

    /// The same grant over another view of the file.
    pub(crate) fn over_file(&self, file: FileSource) -> Self {
        let user = self.granted.user.clone();
        Self::new(
            self.name().to_owned(),
            self.access(),
            Behind::File(file),
            user,
        )
    }

    /// The name by which the plugin opens it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.granted.name
    }

    /// The access that the operator granted.
    #[must_use]
    pub fn access(&self) -> Access {
        self.granted.access
    }

    /// The properties of the source behind it.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        match self.behind() {
            Behind::File(file) => file.facts(),
            Behind::Other(source) => source.facts(),
        }
    }

    /// The size in bytes when it was opened.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.facts().size
    }

    /// Checks that a range lies inside the blob.
    ///
    /// # Errors
    /// [`BlobError::Range`].
    pub fn check(&self, offset: u64, length: u64) -> Result<(), BlobError> {
        let size = self.size();
        match offset.checked_add(length) {
            Some(end) if end <= size => Ok(()),
            _ => Err(BlobError::Range {
                offset,
                length,
                size,
            }),
        }
    }

    /// Whether a change awaits a flush. Returns at once.
    #[must_use]
    pub fn is_unsynced(&self) -> bool {
        self.unflushed().is_pending()
    }

    fn unflushed(&self) -> &Unflushed {
        match self.behind() {
            Behind::File(file) => file.unflushed(),
            Behind::Other(source) => source.unflushed(),
        }
    }

    /// Reads `length` bytes into a new buffer. Dropping the future is safe.
    ///
    /// # Errors
    /// The range lies outside, I/O failed, or the source has shrunk.
    pub async fn read(&self, offset: u64, length: usize) -> Result<Vec<u8>, BlobError> {
        self.check(offset, length as u64)?;
        match self.behind() {
            Behind::File(file) => file.read(offset, length).await,
            Behind::Other(source) => source.read(offset, length).await,
        }
    }

    /// Writes `bytes` at `offset`, durably if the flags have FUA. If the future is dropped, the write may go on.
    ///
    /// # Errors
    /// The range lies outside, or I/O failed.
    pub async fn write(
        &self,
        offset: u64,
        bytes: Bytes,
        flags: WriteFlags,
    ) -> Result<(), BlobError> {
        self.check(offset, bytes.len() as u64)?;
        match self.behind() {
            Behind::File(file) => file.write(offset, bytes, flags).await,
            Behind::Other(source) => source.write(offset, bytes, flags).await,
        }
    }

    /// Makes the range read as zeroes, durably if the flags have FUA, unless that requires writing zeroes. If the
    /// future is dropped, the change may go on.
    ///
    /// # Errors
    /// The range lies outside, or I/O failed. [`BlobError::Unsupported`], without a change, if the caller has to write
    /// zeroes.
    pub async fn zero(&self, offset: u64, length: u64, flags: WriteFlags) -> Result<(), BlobError> {
        self.check(offset, length)?;
        match self.behind() {
            Behind::File(file) => file.zero(offset, length, flags).await,
            Behind::Other(source) => source.zero(offset, length, flags).await,
        }
    }

    /// Gives the range back to the source if it can take it: a hint, but durable if the flags have FUA. If the future
    /// is dropped, the change may go on.
    ///
    /// # Errors
    /// The range lies outside, or I/O failed.
    pub async fn trim(&self, offset: u64, length: u64, flags: WriteFlags) -> Result<(), BlobError> {
        self.check(offset, length)?;
        match self.behind() {
            Behind::File(file) => file.trim(offset, length, flags).await,
            Behind::Other(source) => source.trim(offset, length, flags).await,
        }
    }

    /// Makes all confirmed changes durable. If the future is dropped, a flush that has begun completes.
    ///
    /// # Errors
    /// I/O failed: earlier changes may be lost, and every later flush fails too.
    pub async fn flush(&self) -> Result<(), BlobError> {
        match self.behind() {
            Behind::File(file) => file.flush().await,
            Behind::Other(source) => source.flush().await,
        }
    }

    /// The data and holes of the range, without gaps. After `most` extents the list ends early. Dropping the future is
    /// safe.
    ///
    /// # Errors
    /// The range lies outside, or I/O failed.
    pub async fn extents(
        &self,
        offset: u64,
        length: u64,
        most: usize,
    ) -> Result<Vec<SourceExtent>, BlobError> {
        self.check(offset, length)?;
        match self.behind() {
            Behind::File(file) => file.extents(offset, length, most).await,
            Behind::Other(source) => source.extents(offset, length, most).await,
        }
    }

    /// Starts reading the range ahead: a hint. For a file, it reads 32 MiB at most, and one range at a time: it ignores
    /// further hints meanwhile. Returns at once.
    ///
    /// # Errors
    /// The range lies outside.
    pub fn prefetch(&self, offset: u64, length: u64) -> Result<(), BlobError> {
        self.check(offset, length)?;
        match self.behind() {
            Behind::File(file) => file.prefetch(offset, length),
            Behind::Other(source) => source.prefetch(offset, length),
        }
        Ok(())
    }

    /// The memory in which the host remembers the blob's holes, in bytes: 1.3 MiB at most. Blobs that share an open
    /// file share it. Returns at once.
    #[must_use]
    pub fn remembered(&self) -> usize {
        match self.behind() {
            Behind::File(file) => file.remembered(),
            Behind::Other(_) => 0,
        }
    }

    /// Releases that memory; to be called when no client is connected. Returns at once.
    pub fn forget(&self) {
        if let Behind::File(file) = self.behind() {
            file.forget();
        }
    }

    /// As [`Source::read_cached`]. The caller has checked the range.
    pub(crate) fn read_cached(&self, offset: u64, bytes: &mut [u8]) -> usize {
        match self.behind() {
            Behind::File(file) => file.read_cached(offset, bytes),
            Behind::Other(source) => source.read_cached(offset, bytes),
        }
    }

    pub(crate) fn behind(&self) -> &Behind {
        &self.granted.behind
    }
}

#[cfg(test)]
mod tests;
