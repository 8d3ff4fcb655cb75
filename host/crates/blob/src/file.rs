//! An open file: what it's called, how large it is, what went wrong with it.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions};
use rustix::fs::{FileType, SeekFrom};
use rustix::io::Errno;
use tokio::task::spawn_blocking;

use crate::cold_reads::ColdReads;
use crate::durability::Unflushed;
use crate::error::BlobError;
use crate::{Access, Grant};

/// A granted file, open. Clones share it.
#[derive(Clone, Debug)]
pub struct Blob {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    grant: Grant,
    file: File,
    /// At the time of opening. A blob never grows for its plugin.
    size: u64,
    unflushed: Unflushed,
    /// Held by the one who syncs.
    syncing: Mutex<()>,
    /// Its file system takes no write without waiting.
    waits: AtomicBool,
    /// Its file system can't be asked for what is in the page cache only.
    no_looks: AtomicBool,
    cold_reads: ColdReads,
    /// It has kept a worker waiting: until when it's left to threads.
    slow_until: Mutex<Option<Instant>>,
}

impl Blob {
    /// Opens the operator's file.
    ///
    /// # Errors
    /// Names the grant and the path: not there, not allowed, neither a file nor a block device.
    pub fn open(grant: Grant) -> anyhow::Result<Self> {
        Self::open_file(&grant)
            .map(|(file, size)| Self {
                inner: Arc::new(Inner {
                    grant: grant.clone(),
                    file,
                    size,
                    unflushed: Unflushed::new(),
                    syncing: Mutex::default(),
                    waits: AtomicBool::new(false),
                    no_looks: AtomicBool::new(false),
                    cold_reads: ColdReads::default(),
                    slow_until: Mutex::new(None),
                }),
            })
            .map_err(|error| {
                anyhow::anyhow!(
                    "blob `{}`: can't open {}: {error}",
                    grant.name,
                    grant.path.display()
                )
            })
    }

    fn open_file(grant: &Grant) -> io::Result<(File, u64)> {
        // The operator's own links are followed; then only this one name is opened, in its folder.
        let path = grant.path.canonicalize()?;
        // Before it's opened, too: opening a FIFO would wait for a writer.
        check_type(rustix::fs::stat(&path)?.st_mode)?;
        let folder = path.parent().unwrap_or(Path::new("/"));
        let name = path
            .file_name()
            .ok_or_else(|| io::Error::from(ErrorKind::IsADirectory))?;
        let folder = Dir::open_ambient_dir(folder, ambient_authority())?;
        let mut options = OpenOptions::new();
        options.read(true).write(grant.access == Access::ReadWrite);
        let file = folder.open_with(name, &options)?.into_std();
        check_type(rustix::fs::fstat(&file)?.st_mode)?;
        // Works for block devices, whose metadata says 0.
        let size = rustix::fs::seek(&file, SeekFrom::End(0))?;
        Ok((file, size))
    }

    /// The name that the plugin knows.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.grant.name
    }

    /// What the operator allowed.
    #[must_use]
    pub fn access(&self) -> Access {
        self.inner.grant.access
    }

    /// Size in bytes, when it was opened.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.inner.size
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

    /// The file itself. Offsets are explicit everywhere, so that requests share one descriptor.
    pub(super) fn file(&self) -> &File {
        &self.inner.file
    }

    pub(super) fn failed(&self, error: Errno) -> BlobError {
        self.io_error(error.into())
    }

    pub(super) fn io_error(&self, error: io::Error) -> BlobError {
        BlobError::Io {
            path: self.path(),
            error,
        }
    }

    /// Whether something was written that no sync covers.
    #[must_use]
    pub fn is_unsynced(&self) -> bool {
        self.unflushed().is_pending()
    }

    pub(super) fn unflushed(&self) -> &Unflushed {
        &self.inner.unflushed
    }

    /// Waits for those that sync.
    pub(super) fn sync_turn(&self) -> MutexGuard<'_, ()> {
        // It guards nothing that a panic could leave half-done.
        let lock = self.inner.syncing.lock();
        lock.unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn always_waits(&self) -> bool {
        self.inner.waits.load(Ordering::Relaxed)
    }

    pub(super) fn note_waiting(&self) {
        self.inner.waits.store(true, Ordering::Relaxed);
    }

    /// Whether a look at the page cache can be had, which starts the disk for what isn't there.
    pub(super) fn looks_start_reads(&self) -> bool {
        !self.inner.no_looks.load(Ordering::Relaxed)
    }

    pub(super) fn note_no_looks(&self) {
        self.inner.no_looks.store(true, Ordering::Relaxed);
    }

    pub(super) fn cold_reads(&self) -> &ColdReads {
        &self.inner.cold_reads
    }

    pub(super) fn is_slow(&self, now: Instant) -> bool {
        let until = *self.slow_until();
        until.is_some_and(|until| now < until)
    }

    pub(super) fn note_slow(&self, until: Instant) {
        *self.slow_until() = Some(until);
    }

    fn slow_until(&self) -> MutexGuard<'_, Option<Instant>> {
        // Nothing that holds the lock panics.
        let lock = self.inner.slow_until.lock();
        lock.unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lost(&self) -> BlobError {
        BlobError::Io {
            path: self.path(),
            error: io::Error::other("what was written before may be lost: an earlier sync failed"),
        }
    }

    pub(super) fn stuck(&self) -> BlobError {
        BlobError::Io {
            path: self.path(),
            error: io::Error::new(ErrorKind::WriteZero, "a write made no progress"),
        }
    }

    pub(super) fn shrunk(&self, offset: u64) -> BlobError {
        BlobError::Shrunk {
            path: self.path(),
            offset,
        }
    }

    fn path(&self) -> String {
        self.inner.grant.path.display().to_string()
    }
}

fn check_type(mode: rustix::fs::RawMode) -> io::Result<()> {
    match FileType::from_raw_mode(mode) {
        FileType::RegularFile | FileType::BlockDevice => Ok(()),
        _ => Err(io::Error::other("neither a file nor a block device")),
    }
}

/// Runs blocking work on the runtime's threads for that.
pub(super) async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BlobError> + Send + 'static,
) -> Result<T, BlobError> {
    spawn_blocking(work).await.unwrap_or_else(|error| {
        let error = io::Error::other(error);
        Err(BlobError::Io {
            path: "(the thread for it)".to_owned(),
            error,
        })
    })
}
