//! A grant and what is behind it: ranges are checked here, once, for every source.

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

/// What was granted under a name, open. Clones share it.
///
/// Whether the plugin's access allows an operation is its caller's to check.
#[derive(Clone, Debug)]
pub struct Blob {
    granted: Arc<Granted>,
}

#[derive(Debug)]
struct Granted {
    name: String,
    access: Access,
    behind: Behind,
    /// Of a file: says that it's in use.
    user: Option<Arc<Use>>,
}

/// What is behind a grant. A file is called directly: a read that finds its bytes in the page cache takes no
/// allocation, and nothing virtual.
#[derive(Debug)]
pub(crate) enum Behind {
    File(FileSource),
    Other(Arc<dyn Source>),
}

impl Blob {
    /// Opens the operator's file for an export; what blocks later is done by `work`. Blocks: for two seconds while another
    /// program has the file for itself, and on a disk that hangs for as long as it hangs.
    ///
    /// # Errors
    /// Names the grant and the path: not there, not allowed, neither a file nor a block device; another export or
    /// program has it, and isn't to share it.
    pub fn open(grant: Grant, opener: &Opener, work: Work) -> anyhow::Result<Self> {
        let opened = file::open(&grant, opener, work);
        let (file, user) = opened.map_err(|error| {
            let path = grant.path.display();
            anyhow::anyhow!("blob `{}`: can't open {path}: {error}", grant.name)
        })?;
        let behind = Behind::File(file);
        Ok(Self::new(grant.name, grant.access, behind, Some(user)))
    }

    /// Grants something that isn't a file, and is open.
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

    /// The same blob; what blocks is done by `work`, and charged as that says. At once.
    #[must_use]
    pub fn charged_to(&self, work: &Work) -> Self {
        match self.behind() {
            Behind::File(file) => self.over_file(file.charged_to(work)),
            Behind::Other(_) => self.clone(),
        }
    }

    /// The same grant over another file.
    pub(crate) fn over_file(&self, file: FileSource) -> Self {
        let user = self.granted.user.clone();
        Self::new(
            self.name().to_owned(),
            self.access(),
            Behind::File(file),
            user,
        )
    }

    /// The name that the plugin knows.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.granted.name
    }

    /// What the operator allowed.
    #[must_use]
    pub fn access(&self) -> Access {
        self.granted.access
    }

    /// What is known of what is behind it.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        match self.behind() {
            Behind::File(file) => file.facts(),
            Behind::Other(source) => source.facts(),
        }
    }

    /// Size in bytes, when it was opened.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.facts().size
    }

    /// Checks that a range is inside.
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

    /// Whether something was changed that no flush has made durable. At once.
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

    /// Reads `length` bytes into a new buffer. Dropping it is safe.
    ///
    /// # Errors
    /// Range, I/O, a source that shrank.
    pub async fn read(&self, offset: u64, length: usize) -> Result<Vec<u8>, BlobError> {
        self.check(offset, length as u64)?;
        match self.behind() {
            Behind::File(file) => file.read(offset, length).await,
            Behind::Other(source) => source.read(offset, length).await,
        }
    }

    /// Writes `bytes` at `offset`, durably with FUA. Goes on when it's dropped, or not.
    ///
    /// # Errors
    /// Range, I/O.
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

    /// Makes the range read as zeroes, durably with FUA, where the source can without writing them. Goes on when it's
    /// dropped, or not.
    ///
    /// # Errors
    /// Range, I/O; [`BlobError::Unsupported`], without a change, where zeroes would have to be written.
    pub async fn zero(&self, offset: u64, length: u64, flags: WriteFlags) -> Result<(), BlobError> {
        self.check(offset, length)?;
        match self.behind() {
            Behind::File(file) => file.zero(offset, length, flags).await,
            Behind::Other(source) => source.zero(offset, length, flags).await,
        }
    }

    /// Gives the range back to the source where that is possible: a hint, but durable with FUA. Goes on when it's dropped,
    /// or not.
    ///
    /// # Errors
    /// Range, I/O.
    pub async fn trim(&self, offset: u64, length: u64, flags: WriteFlags) -> Result<(), BlobError> {
        self.check(offset, length)?;
        match self.behind() {
            Behind::File(file) => file.trim(offset, length, flags).await,
            Behind::Other(source) => source.trim(offset, length, flags).await,
        }
    }

    /// Makes all that was changed durable. One that began is finished when it's dropped.
    ///
    /// # Errors
    /// I/O: what was changed before may be lost, and every later flush fails too.
    pub async fn flush(&self) -> Result<(), BlobError> {
        match self.behind() {
            Behind::File(file) => file.flush().await,
            Behind::Other(source) => source.flush().await,
        }
    }

    /// Where the range has data and where holes; at most `most` extents, then the list ends early. Dropping it is safe.
    ///
    /// # Errors
    /// Range, I/O.
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

    /// Starts reading ahead: a hint. Of a file 32 MiB at most, and one range at a time: while that is read, further
    /// hints are dropped. At once.
    ///
    /// # Errors
    /// Range.
    pub fn prefetch(&self, offset: u64, length: u64) -> Result<(), BlobError> {
        self.check(offset, length)?;
        match self.behind() {
            Behind::File(file) => file.prefetch(offset, length),
            Behind::Other(source) => source.prefetch(offset, length),
        }
        Ok(())
    }

    /// Bytes of memory in which it's remembered where it has holes: 1.3 MiB at most. All that share an open file have it
    /// together. At once.
    #[must_use]
    pub fn remembered(&self) -> usize {
        match self.behind() {
            Behind::File(file) => file.remembered(),
            Behind::Other(_) => 0,
        }
    }

    /// Gives that memory back: nobody asks for the time being. At once.
    pub fn forget(&self) {
        if let Behind::File(file) = self.behind() {
            file.forget();
        }
    }

    /// As [`Source::read_cached`]. The range was checked.
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
