//! Open files as sources: their state, their errors, and the threads for what blocks.

mod blocked_workers;
mod cold_reads;
mod drift;
mod extents;
mod hole_map;
mod holes;
mod lock;
mod open_files;
mod partial_reply;
mod transfer;
mod zeroing;

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use bytes::Bytes;
use device::WriteFlags;
use lanes::Work;
use rustix::fs::{FileType, SeekFrom};
use rustix::io::Errno;
use tokio::sync::Semaphore;

pub use self::blocked_workers::wake_spare_worker;
use self::cold_reads::ColdReads;
use self::holes::Holes;
pub(crate) use self::open_files::{Use, open};
pub(crate) use self::partial_reply::PartialReply;
use crate::durability::Unflushed;
use crate::error::BlobError;
use crate::source::{Answer, Facts, Identity, Source, SourceExtent};

/// An open file, with the facts that held when an export opened it. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct FileSource {
    open: Arc<OpenFile>,
    own: Arc<Own>,
}

/// The part of a file's state that belongs to one export.
#[derive(Debug)]
struct Own {
    facts: Facts,
    /// The export's access to its tenant's threads.
    work: Work,
    cold_reads: ColdReads,
    /// Whether a thread is reading ahead for the export.
    prefetches: AtomicBool,
}

/// The state of one open file description, shared by all exports that opened the file with the same access.
#[derive(Debug)]
struct OpenFile {
    /// The operator's path.
    path: PathBuf,
    file: File,
    unflushed: Unflushed,
    /// Held by the thread that syncs.
    syncing: Mutex<()>,
    /// Held while a thread syncs or is about to, so that further flushes queue without a thread.
    sync_gate: Arc<Semaphore>,
    /// Whether its file system accepts no write without waiting.
    waits: AtomicBool,
    /// Whether its file system has no reads that are limited to the page cache.
    no_looks: AtomicBool,
    holes: Holes,
    /// Until when only lanes access the file, because it has made a worker wait.
    slow_until: Mutex<Option<Instant>>,
}

impl FileSource {
    /// Opens a file or a block device without entering it among the process's open files. `work` does later what
    /// blocks. Blocks.
    ///
    /// # Errors
    /// The path doesn't exist, access is denied, or it's neither a file nor a block device.
    pub(crate) fn open(path: &Path, writable: bool, work: Work) -> io::Result<Self> {
        let (file, facts) = open_at(path, writable)?;
        Ok(Self {
            own: Arc::new(Own::new(facts, work)),
            open: Arc::new(OpenFile {
                path: path.to_owned(),
                file,
                unflushed: Unflushed::new(),
                syncing: Mutex::default(),
                sync_gate: Arc::new(Semaphore::new(1)),
                waits: AtomicBool::new(false),
                no_looks: AtomicBool::new(false),
                holes: Holes::default(),
                slow_until: Mutex::new(None),
            }),
        })
    }

    /// This export's view of the file, but through a description of the same file that is already open.
    fn through(self, open: Arc<OpenFile>) -> Self {
        Self { open, ..self }
    }

    fn downgrade(&self) -> Weak<OpenFile> {
        Arc::downgrade(&self.open)
    }

    pub(crate) fn facts(&self) -> &Facts {
        &self.own.facts
    }

    /// The same open file with other facts, or for another export.
    fn with(&self, facts: Facts, work: Work) -> Self {
        Self {
            open: Arc::clone(&self.open),
            own: Arc::new(Own::new(facts, work)),
        }
    }

    /// The same open file for an export whose blocking work `work` does.
    pub(crate) fn charged_to(&self, work: &Work) -> Self {
        self.with(self.facts().clone(), work.clone())
    }

    pub(crate) fn work(&self) -> &Work {
        &self.own.work
    }

    pub(crate) fn unflushed(&self) -> &Unflushed {
        &self.open.unflushed
    }

    /// The descriptor. All offsets are explicit, so that requests can share it.
    fn file(&self) -> &File {
        &self.open.file
    }

    fn failed(&self, error: Errno) -> BlobError {
        self.io_error(error.into())
    }

    fn io_error(&self, error: io::Error) -> BlobError {
        BlobError::Io {
            path: self.path(),
            error,
        }
    }

    /// Runs `work`, which blocks, on the tenant's lane. If the future is dropped, `work` may run or not.
    async fn on_lane<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, BlobError> + Send + 'static,
    ) -> Result<T, BlobError> {
        let file = self.clone();
        let done = self.work().run(move || work(&file)).await;
        done.unwrap_or_else(|error| Err(self.io_error(io::Error::other(error))))
    }

    /// Waits until no other thread syncs.
    fn sync_turn(&self) -> MutexGuard<'_, ()> {
        // It guards no data that a panic could leave half-changed.
        let lock = self.open.syncing.lock();
        lock.unwrap_or_else(PoisonError::into_inner)
    }

    fn always_waits(&self) -> bool {
        self.open.waits.load(Ordering::Relaxed)
    }

    fn note_waiting(&self) {
        self.open.waits.store(true, Ordering::Relaxed);
    }

    /// Whether reads that are limited to the page cache work. They start the disk for the bytes that the cache lacks.
    fn looks_start_reads(&self) -> bool {
        !self.open.no_looks.load(Ordering::Relaxed)
    }

    fn note_no_looks(&self) {
        self.open.no_looks.store(true, Ordering::Relaxed);
    }

    fn cold_reads(&self) -> &ColdReads {
        &self.own.cold_reads
    }

    fn holes(&self) -> &Holes {
        &self.open.holes
    }

    /// The memory in which the host remembers the file's holes, in bytes.
    pub(crate) fn remembered(&self) -> usize {
        self.holes().bytes()
    }

    /// Releases that memory.
    pub(crate) fn forget(&self) {
        self.holes().forget();
    }

    fn is_slow(&self, now: Instant) -> bool {
        let until = *self.slow_until();
        until.is_some_and(|until| now < until)
    }

    fn note_slow(&self, until: Instant) {
        *self.slow_until() = Some(until);
    }

    fn slow_until(&self) -> MutexGuard<'_, Option<Instant>> {
        // No code panics while it holds the lock.
        let lock = self.open.slow_until.lock();
        lock.unwrap_or_else(PoisonError::into_inner)
    }

    fn lost(&self) -> BlobError {
        BlobError::Io {
            path: self.path(),
            error: io::Error::other("earlier writes may be lost, because an earlier sync failed"),
        }
    }

    fn stuck(&self) -> BlobError {
        BlobError::Io {
            path: self.path(),
            error: io::Error::new(
                ErrorKind::WriteZero,
                "a write made no progress: the file system wrote 0 bytes",
            ),
        }
    }

    fn shrunk(&self, offset: u64) -> BlobError {
        BlobError::Shrunk {
            path: self.path(),
            offset,
        }
    }

    fn path(&self) -> String {
        self.open.path.display().to_string()
    }
}

/// The file as other crates see it; [`Blob`](crate::Blob) calls the inherent methods.
impl Source for FileSource {
    fn facts(&self) -> &Facts {
        self.facts()
    }

    fn unflushed(&self) -> &Unflushed {
        self.unflushed()
    }

    fn read_cached(&self, offset: u64, bytes: &mut [u8]) -> usize {
        self.read_cached(offset, bytes)
    }

    fn read(&self, offset: u64, length: usize) -> Answer<'_, Vec<u8>> {
        Box::pin(self.read(offset, length))
    }

    fn write(&self, offset: u64, bytes: Bytes, flags: WriteFlags) -> Answer<'_, ()> {
        Box::pin(self.write(offset, bytes, flags))
    }

    fn zero(&self, offset: u64, length: u64, flags: WriteFlags) -> Answer<'_, ()> {
        Box::pin(self.zero(offset, length, flags))
    }

    fn trim(&self, offset: u64, length: u64, flags: WriteFlags) -> Answer<'_, ()> {
        Box::pin(self.trim(offset, length, flags))
    }

    fn flush(&self) -> Answer<'_, ()> {
        Box::pin(self.flush())
    }

    fn extents(&self, offset: u64, length: u64, most: usize) -> Answer<'_, Vec<SourceExtent>> {
        Box::pin(self.extents(offset, length, most))
    }

    fn prefetch(&self, offset: u64, length: u64) {
        self.prefetch(offset, length);
    }
}

fn open_at(path: &Path, writable: bool) -> io::Result<(File, Facts)> {
    let file = outside::files::disk(path, writable)?;
    let found = rustix::fs::fstat(&file)?;
    // Not from fstat(2), which reports 0 for block devices.
    let size = rustix::fs::seek(&file, SeekFrom::End(0))?;
    let facts = Facts {
        size,
        identity: Identity::File {
            device: found.st_dev,
            inode: found.st_ino,
        },
        pinned: false,
        writable,
        extents_known: FileType::from_raw_mode(found.st_mode) == FileType::RegularFile,
    };
    Ok((file, facts))
}

impl Own {
    fn new(facts: Facts, work: Work) -> Self {
        Self {
            facts,
            work,
            cold_reads: ColdReads::default(),
            prefetches: AtomicBool::new(false),
        }
    }
}
