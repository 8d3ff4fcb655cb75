//! Reads and writes that don't hold up a worker thread.
//!
//! What is in the page cache is moved at once (`preadv2` with `RWF_NOWAIT`, see its manual page).
//! Short writes go into the page cache in place where a worker can be spared; everything else goes to the
//! tenant's lane.

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

/// Bytes that are soon copied from or into the page cache. More are copied on a lane, or in such pieces.
pub(super) const SHORT: usize = 1 << 20;

/// Bytes that one hint reads ahead at most. Restrains a guest from filling the page cache with a word.
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
        // Reading ahead takes the disk's queue, which may be full, and memory.
        let begun = self.work().begin(move || {
            // A file that takes no hint is no error.
            let _ = rustix::fs::fadvise(file.file(), offset, Some(length), Advice::WillNeed);
            file.own.prefetches.store(false, Ordering::Release);
        });
        if begun.is_err() {
            self.own.prefetches.store(false, Ordering::Release);
        }
    }

    /// Fills `bytes` from `offset` if that takes no waiting; says how many bytes it got. A file system
    /// that can't do that (FUSE, for one) isn't asked again.
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
            // Any other error shows again, with its reason, where waiting is allowed.
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

    /// Writes what the page cache takes without waiting; says how many bytes. A file system that
    /// can't do that (ext4, for one) isn't asked again.
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
                // Not from Linux's own file systems; FUSE's may. It would go on for ever.
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

    /// What a change ends with.
    pub(super) async fn sync_if_wanted(&self, flags: WriteFlags) -> Result<(), BlobError> {
        if flags.contains(WriteFlags::FUA) {
            self.sync().await
        } else {
            Ok(())
        }
    }

    /// Makes all durable that was written, or says ever after that something may be lost: Linux tells
    /// of a failed write-back only once, and drops the bytes (see "Error reporting" in its
    /// Documentation/filesystems/vfs.rst), so that a second try would succeed without them.
    ///
    /// One at a time, for the same reason: of two at once, one would be told of the loss, and the other one
    /// would take what was lost for durable. Those that wait share the next one, which covers them all.
    async fn sync(&self) -> Result<(), BlobError> {
        let asked = self.unflushed().mark();
        // It guards nothing by itself, so that a lane's thread, which must not wait for what is queued, goes by it.
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

    /// As [`sync`](Self::sync), for what was changed before `asked`.
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
    fn what_a_sync_has_lost_stays_lost() {
        let disk = disk();
        disk.unflushed().note_change();
        disk.sync_by(|| Err(Errno::IO)).unwrap_err();
        assert!(disk.unflushed().is_pending());
        disk.sync_by(|| Ok(())).unwrap_err();
        assert!(disk.unflushed().is_pending());
    }

    /// The kernel would tell only the first one.
    #[test]
    fn a_sync_that_waits_for_one_that_fails_fails_too() {
        let disk = disk();
        let (began, begun) = mpsc::channel();
        thread::scope(|scope| {
            let first = scope.spawn(|| {
                disk.sync_by(|| {
                    began.send(()).unwrap();
                    // Long enough for the second one to wait, where it may; it fails in any case.
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
    fn those_that_waited_share_one_sync() {
        let disk = disk();
        let asked = disk.unflushed().mark();
        disk.sync_by(|| Ok(())).unwrap();
        let never = || unreachable!("the one before began after it was asked for");
        disk.sync_since(asked, never).unwrap();
        let mut synced = false;
        disk.sync_by(|| {
            synced = true;
            Ok(())
        })
        .unwrap();
        assert!(synced, "a flush that is asked for later is one of its own");
    }
}
