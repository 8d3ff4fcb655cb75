//! An open file: reads and writes that don't hold up a worker thread.
//!
//! What is in the page cache is read at once (`preadv2` with `RWF_NOWAIT`, see its manual page);
//! everything else goes to the runtime's blocking threads. Offsets are explicit everywhere, so
//! requests share one descriptor.

use std::fs::File;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::path::Path;
use std::sync::Arc;

use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions};
use rustix::fs::{Advice, FallocateFlags, FileType, SeekFrom};
use rustix::io::{Errno, ReadWriteFlags};
use thiserror::Error;
use tokio::task::spawn_blocking;

use super::extents::{self, FileExtent};
use super::{Access, Grant};
use crate::reply::{BlobRead, ReadReply};

/// Bytes written at once where zeroes have to be written one by one.
const ZEROES: usize = 1 << 20;

/// Why an operation on a blob failed. All but the first are the host's affair.
#[derive(Debug, Error)]
pub enum BlobError {
    /// The range isn't inside the blob.
    #[error("{length} bytes at {offset} aren't inside the blob, which has {size}")]
    Range {
        /// Start in bytes.
        offset: u64,
        /// Length in bytes.
        length: u64,
        /// The blob's size in bytes.
        size: u64,
    },
    /// The file is shorter than it was when it was opened.
    #[error("{path}: the file has shrunk: no byte at {offset}")]
    Shrunk {
        /// The operator's path.
        path: String,
        /// The first byte that is missing.
        offset: u64,
    },
    /// Not possible quickly, or at all, on this file.
    #[error("{0}: not supported for this file")]
    Unsupported(&'static str),
    /// The kernel's word.
    #[error("{path}: {error}")]
    Io {
        /// The operator's path.
        path: String,
        /// What went wrong.
        error: io::Error,
    },
}

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
        let folder = path.parent().unwrap_or(Path::new("/"));
        let name = path
            .file_name()
            .ok_or_else(|| io::Error::from(ErrorKind::IsADirectory))?;
        let folder = Dir::open_ambient_dir(folder, ambient_authority())?;
        let mut options = OpenOptions::new();
        options.read(true).write(grant.access == Access::ReadWrite);
        let file = folder.open_with(name, &options)?.into_std();
        match FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) {
            FileType::RegularFile | FileType::BlockDevice => {}
            _ => return Err(io::Error::other("neither a file nor a block device")),
        }
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

    /// Fills `bytes` from `offset` if that takes no waiting; says how many bytes it got.
    fn read_cached(&self, offset: u64, bytes: &mut [u8]) -> usize {
        let mut slices = [IoSliceMut::new(bytes)];
        // Any error shows again, with its reason, where waiting is allowed.
        rustix::io::preadv2(
            &self.inner.file,
            &mut slices,
            offset,
            ReadWriteFlags::NOWAIT,
        )
        .unwrap_or(0)
    }

    fn read_waiting(&self, mut offset: u64, mut bytes: &mut [u8]) -> Result<(), BlobError> {
        while !bytes.is_empty() {
            match rustix::io::pread(&self.inner.file, &mut *bytes, offset) {
                Ok(0) => return Err(self.shrunk(offset)),
                Ok(count) => {
                    bytes = &mut bytes[count..];
                    offset += count as u64;
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(self.failed(error)),
            }
        }
        Ok(())
    }

    fn write_waiting(&self, mut offset: u64, mut bytes: &[u8]) -> Result<(), BlobError> {
        while !bytes.is_empty() {
            match rustix::io::pwrite(&self.inner.file, bytes, offset) {
                Ok(count) => {
                    bytes = &bytes[count..];
                    offset += count as u64;
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(self.failed(error)),
            }
        }
        Ok(())
    }

    /// Reads `length` bytes into a new buffer.
    ///
    /// # Errors
    /// Range, I/O, a file that shrank.
    pub async fn read(&self, offset: u64, length: usize) -> Result<Vec<u8>, BlobError> {
        self.check(offset, length as u64)?;
        let mut bytes = vec![0; length];
        let got = self.read_cached(offset, &mut bytes);
        if got == length {
            return Ok(bytes);
        }
        let blob = self.clone();
        on_a_thread(move || {
            blob.read_waiting(offset + got as u64, &mut bytes[got..])?;
            Ok(bytes)
        })
        .await
    }

    /// Does all blob reads of a reply: inline while everything is cached, else on a thread.
    ///
    /// # Errors
    /// As [`read`](Self::read). The ranges were checked when the plan was made.
    pub async fn fulfil(blobs: &[Self], mut reply: ReadReply) -> Result<ReadReply, BlobError> {
        let reads = reply.reads().len();
        let mut done = 0;
        let mut got = 0;
        while done < reads {
            let read = reply.reads()[done];
            got = blobs[read.blob as usize].read_cached(read.offset, reply.place(&read));
            if got < read.length as usize {
                break;
            }
            done += 1;
        }
        if done == reads {
            return Ok(reply);
        }
        let left: Vec<(BlobRead, Self)> = reply.reads()[done..]
            .iter()
            .map(|read| (*read, blobs[read.blob as usize].clone()))
            .collect();
        on_a_thread(move || {
            for (read, blob) in left {
                let place = &mut reply.place(&read)[got..];
                blob.read_waiting(read.offset + got as u64, place)?;
                got = 0;
            }
            Ok(reply)
        })
        .await
    }

    /// Writes `bytes[range]` at `offset`, durably if asked; gives the buffer back.
    ///
    /// # Errors
    /// Range, I/O.
    pub async fn write(
        &self,
        offset: u64,
        bytes: Vec<u8>,
        range: std::ops::Range<usize>,
        fua: bool,
    ) -> Result<Vec<u8>, BlobError> {
        self.check(offset, range.len() as u64)?;
        let blob = self.clone();
        let done = if fua {
            0
        } else {
            self.write_cached(offset, &bytes[range.clone()])
        };
        if done == range.len() {
            return Ok(bytes);
        }
        on_a_thread(move || {
            blob.write_waiting(offset + done as u64, &bytes[range.start + done..range.end])?;
            if fua {
                blob.sync()?;
            }
            Ok(bytes)
        })
        .await
    }

    /// Writes what the page cache takes without waiting; says how many bytes.
    fn write_cached(&self, offset: u64, bytes: &[u8]) -> usize {
        let slices = [IoSlice::new(bytes)];
        rustix::io::pwritev2(&self.inner.file, &slices, offset, ReadWriteFlags::NOWAIT).unwrap_or(0)
    }

    /// Makes all that was written durable.
    ///
    /// # Errors
    /// I/O: what was written before may be lost.
    pub async fn flush(&self) -> Result<(), BlobError> {
        let blob = self.clone();
        on_a_thread(move || blob.sync()).await
    }

    fn sync(&self) -> Result<(), BlobError> {
        rustix::fs::fdatasync(&self.inner.file).map_err(|error| self.failed(error))
    }

    /// Gives the range back to the file system where that is possible; a hint.
    ///
    /// # Errors
    /// Range, I/O.
    pub async fn trim(&self, offset: u64, length: u64, fua: bool) -> Result<(), BlobError> {
        self.check(offset, length)?;
        let blob = self.clone();
        on_a_thread(move || {
            match blob.punch(offset, length) {
                Ok(()) | Err(BlobError::Unsupported(_)) => {}
                Err(error) => return Err(error),
            }
            if fua { blob.sync() } else { Ok(()) }
        })
        .await
    }

    /// Makes the range read as zeroes.
    ///
    /// # Errors
    /// Range, I/O; [`BlobError::Unsupported`] for `fast` where zeroes would have to be written.
    pub async fn zero(
        &self,
        offset: u64,
        length: u64,
        no_hole: bool,
        fast: bool,
        fua: bool,
    ) -> Result<(), BlobError> {
        self.check(offset, length)?;
        let blob = self.clone();
        on_a_thread(move || {
            blob.zero_waiting(offset, length, no_hole, fast)?;
            if fua { blob.sync() } else { Ok(()) }
        })
        .await
    }

    fn zero_waiting(
        &self,
        offset: u64,
        length: u64,
        no_hole: bool,
        fast: bool,
    ) -> Result<(), BlobError> {
        if !no_hole {
            match self.punch(offset, length) {
                Err(BlobError::Unsupported(_)) => {}
                done => return done,
            }
        }
        let flags = FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE;
        match self.allocate(flags, offset, length) {
            Err(BlobError::Unsupported(_)) if !fast => self.write_zeroes(offset, length),
            done => done,
        }
    }

    fn write_zeroes(&self, mut offset: u64, mut length: u64) -> Result<(), BlobError> {
        let zeroes = vec![0; ZEROES.min(usize::try_from(length).unwrap_or(ZEROES))];
        while length > 0 {
            let count = zeroes
                .len()
                .min(usize::try_from(length).unwrap_or(zeroes.len()));
            self.write_waiting(offset, &zeroes[..count])?;
            offset += count as u64;
            length -= count as u64;
        }
        Ok(())
    }

    fn punch(&self, offset: u64, length: u64) -> Result<(), BlobError> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        self.allocate(flags, offset, length)
    }

    fn allocate(&self, flags: FallocateFlags, offset: u64, length: u64) -> Result<(), BlobError> {
        match rustix::fs::fallocate(&self.inner.file, flags, offset, length) {
            Ok(()) => Ok(()),
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
                Err(BlobError::Unsupported("fallocate"))
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Starts reading ahead; returns at once.
    ///
    /// # Errors
    /// Range.
    pub fn prefetch(&self, offset: u64, length: u64) -> Result<(), BlobError> {
        self.check(offset, length)?;
        let length = std::num::NonZeroU64::new(length);
        // A hint: a file that takes none is no error.
        let _ = rustix::fs::fadvise(&self.inner.file, offset, length, Advice::WillNeed);
        Ok(())
    }

    /// Where the range has data and where holes; at most `most` extents, then the list ends early.
    ///
    /// # Errors
    /// Range, I/O.
    pub async fn extents(
        &self,
        offset: u64,
        length: u64,
        most: usize,
    ) -> Result<Vec<FileExtent>, BlobError> {
        self.check(offset, length)?;
        let blob = self.clone();
        on_a_thread(move || {
            extents::seek(&blob.inner.file, offset..offset + length, most)
                .map_err(|error| blob.failed(error))
        })
        .await
    }

    fn failed(&self, error: Errno) -> BlobError {
        BlobError::Io {
            path: self.path(),
            error: error.into(),
        }
    }

    fn shrunk(&self, offset: u64) -> BlobError {
        BlobError::Shrunk {
            path: self.path(),
            offset,
        }
    }

    fn path(&self) -> String {
        self.inner.grant.path.display().to_string()
    }
}

/// Runs blocking work on the runtime's threads for that.
async fn on_a_thread<T: Send + 'static>(
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
