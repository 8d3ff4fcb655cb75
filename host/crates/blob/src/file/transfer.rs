//! Reads and writes that don't block a worker thread.
//!
//! Bytes in the page cache are moved at once (`preadv2` with `RWF_NOWAIT`, see its manual page). Short writes go into
//! the page cache directly if a worker can be spared. The tenant's lane does everything else.

use std::io::{IoSlice, IoSliceMut};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use device::WriteFlags;
use lanes::Work;
use rustix::fs::Advice;
use rustix::io::{Errno, ReadWriteFlags};

use crate::durability::Mark;
use crate::error::BlobError;
use crate::file::FileSource;

/// The most bytes that are copied from or into the page cache at once. A lane copies more, or they are copied in
/// pieces.
pub(super) const SHORT: usize = 1 << 20;

/// The most bytes that one hint reads ahead. Restrains a guest, which could fill the page cache with one call.
const AHEAD: u64 = 32 << 20;

impl FileSource {
    /// As [`Source::read`](crate::Source::read).
    pub(crate) async fn read(&self, offset: u64, length: usize) -> Result<Vec<u8>, BlobError> {
        let mut bytes = vec![0; length];
        let got = self.read_cached(offset, &mut bytes);
        if got == length {
            return Ok(bytes);
        }
        self.on_lane(move |file| {
            file.read_waiting(offset + got as u64, &mut bytes[got..])?;
            Ok(bytes)
        })
        .await
    }

    /// As [`Source::write`](crate::Source::write).
    pub(crate) async fn write(
        &self,
        offset: u64,
        bytes: Bytes,
        flags: WriteFlags,
    ) -> Result<(), BlobError> {
        let is_short = bytes.len() <= SHORT;
        let done = if is_short {
            self.write_cached(offset, &bytes)
        } else {
            0
        };
        if done == bytes.len() {
            self.unflushed().note_change();
            return self.sync_if_wanted(flags).await;
        }
        let work = move |file: &Self| {
            let written = file.write_waiting(offset + done as u64, &bytes[done..]);
            file.unflushed().note_change();
            written
        };
        if is_short {
            self.in_place_or_on_lane(work).await?;
        } else {
            self.on_lane(work).await?;
        }
        self.sync_if_wanted(flags).await
    }

    /// As [`Source::flush`](crate::Source::flush).
    pub(crate) async fn flush(&self) -> Result<(), BlobError> {
        self.sync().await
    }

    /// As [`Source::prefetch`](crate::Source::prefetch).
    pub(crate) fn prefetch(&self, offset: u64, length: u64) {
        let Some(length) = NonZeroU64::new(length.min(AHEAD)) else {
            return;
        };
        if self.own.prefetches.swap(true, Ordering::Acquire) {
            return;
        }
        let file = self.clone();
        // Reading ahead allocates memory, and waits if the disk's queue is full.
        let begun = self.work().begin(move || {
            // The hint may be ignored: its failure is no error.
            let _ = rustix::fs::fadvise(file.file(), offset, Some(length), Advice::WillNeed);
            file.own.prefetches.store(false, Ordering::Release);
        });
        if begun.is_err() {
            self.own.prefetches.store(false, Ordering::Release);
        }
    }

    /// Fills `bytes` from `offset` as far as possible without waiting, and returns how many bytes it filled. If the
    /// file system doesn't support that (FUSE, for example), the host doesn't try again.
    pub(crate) fn read_cached(&self, offset: u64, bytes: &mut [u8]) -> usize {
        if !self.looks_start_reads() {
            return 0;
        }
        let mut slices = [IoSliceMut::new(bytes)];
        match rustix::io::preadv2(self.file(), &mut slices, offset, ReadWriteFlags::NOWAIT) {
            Ok(count) => count,
            Err(Errno::OPNOTSUPP) => {
                self.note_no_looks();
                0
            }
            // The read that may wait hits any other error again, and reports it.
            Err(_) => 0,
        }
    }

    pub(super) fn read_waiting(
        &self,
        mut offset: u64,
        mut bytes: &mut [u8],
    ) -> Result<(), BlobError> {
        while !bytes.is_empty() {
            match rustix::io::pread(self.file(), &mut *bytes, offset) {
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

    /// Writes the bytes that the page cache accepts without waiting, and returns how many. If the file system doesn't
    /// support that (ext4, for example), the host doesn't try again.
    fn write_cached(&self, offset: u64, bytes: &[u8]) -> usize {
        if self.always_waits() {
            return 0;
        }
        let slices = [IoSlice::new(bytes)];
        match rustix::io::pwritev2(self.file(), &slices, offset, ReadWriteFlags::NOWAIT) {
            Ok(count) => count,
            Err(Errno::OPNOTSUPP) => {
                self.note_waiting();
                0
            }
            Err(_) => 0,
        }
    }

    pub(super) fn write_waiting(&self, mut offset: u64, mut bytes: &[u8]) -> Result<(), BlobError> {
        while !bytes.is_empty() {
            match rustix::io::pwrite(self.file(), bytes, offset) {
                // Linux's own file systems don't do this; those of FUSE may. The loop would never end.
                Ok(0) => return Err(self.stuck()),
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

    /// Ends a change: syncs if the flags have FUA.
    pub(super) async fn sync_if_wanted(&self, flags: WriteFlags) -> Result<(), BlobError> {
        if flags.contains(WriteFlags::FUA) {
            self.sync().await
        } else {
            Ok(())
        }
    }

    /// Makes all written bytes durable, or fails for ever after a failure: Linux reports a failed write-back only once,
    /// and drops the bytes (see "Error reporting" in its Documentation/filesystems/vfs.rst), so a second try would
    /// succeed without them.
    ///
    /// One at a time, for the same reason: of two at once, one would get the error, and the other one would take the
    /// lost bytes for durable. Flushes that queue share the next sync, which covers them all.
    async fn sync(&self) -> Result<(), BlobError> {
        let asked = self.unflushed().mark();
        // A lane's thread must not wait for queued work, so it doesn't use the gate. It may: the mutex alone keeps
        // syncs apart.
        let turn = if Work::is_here() {
            None
        } else {
            Arc::clone(&self.open.sync_gate).acquire_owned().await.ok()
        };
        self.on_lane(move |file| {
            let synced = file.sync_since(asked, || rustix::fs::fdatasync(file.file()));
            drop(turn);
            synced
        })
        .await
    }

    /// As [`sync`](Self::sync), for changes before `asked`.
    fn sync_since(
        &self,
        asked: Mark,
        fdatasync: impl FnOnce() -> Result<(), Errno>,
    ) -> Result<(), BlobError> {
        let _turn = self.sync_turn();
        let unflushed = self.unflushed();
        if unflushed.lost().any() {
            return Err(self.lost());
        }
        if unflushed.has_flushed_since(asked) {
            return Ok(());
        }
        let epoch = unflushed.begin_flush();
        fdatasync().map_err(|error| {
            unflushed.lost().note();
            self.failed(error)
        })?;
        unflushed.finish_flush(epoch);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use tempfile::NamedTempFile;

    use super::*;

    fn disk() -> FileSource {
        let file = NamedTempFile::new().unwrap();
        let work = lanes::Lane::new("alice").charging(None);
        FileSource::open(file.path(), true, work).unwrap()
    }

    impl FileSource {
        fn sync_by(&self, fdatasync: impl FnOnce() -> Result<(), Errno>) -> Result<(), BlobError> {
            self.sync_since(self.unflushed().mark(), fdatasync)
        }
    }

    #[test]
    fn a_change_is_unsynced_until_fdatasync_has_returned() {
        let disk = disk();
        disk.unflushed().note_change();
        disk.sync_by(|| {
            assert!(
                disk.unflushed().is_pending(),
                "another flush must not answer now"
            );
            Ok(())
        })
        .unwrap();
        assert!(!disk.unflushed().is_pending());
    }

    #[test]
    fn a_change_during_a_sync_waits_for_the_next_one() {
        let disk = disk();
        disk.sync_by(|| {
            disk.unflushed().note_change();
            Ok(())
        })
        .unwrap();
        assert!(disk.unflushed().is_pending());
    }

    #[test]
    fn after_a_failed_sync_every_sync_fails() {
        let disk = disk();
        disk.unflushed().note_change();
        disk.sync_by(|| Err(Errno::IO)).unwrap_err();
        assert!(disk.unflushed().is_pending());
        disk.sync_by(|| Ok(())).unwrap_err();
        assert!(disk.unflushed().is_pending());
    }

    /// The kernel would report the error only to the first one.
    #[test]
    fn a_sync_that_waits_for_one_that_fails_fails_too() {
        let disk = disk();
        let (began, begun) = mpsc::channel();
        thread::scope(|scope| {
            let first = scope.spawn(|| {
                disk.sync_by(|| {
                    began.send(()).unwrap();
                    // Long enough for the second one to queue, if it's quick; it fails in any case.
                    thread::sleep(std::time::Duration::from_millis(20));
                    Err(Errno::IO)
                })
            });
            begun.recv().unwrap();
            let second = scope.spawn(|| disk.sync_by(|| Ok(())));
            first.join().unwrap().unwrap_err();
            second.join().unwrap().unwrap_err();
        });
    }

    #[test]
    fn flushes_that_queued_share_one_sync() {
        let disk = disk();
        let asked = disk.unflushed().mark();
        disk.sync_by(|| Ok(())).unwrap();
        let never = || unreachable!("the sync before began after the mark");
        disk.sync_since(asked, never).unwrap();
        let mut synced = false;
        disk.sync_by(|| {
            synced = true;
            Ok(())
        })
        .unwrap();
        assert!(synced, "a flush after that sync needs its own");
    }
}
