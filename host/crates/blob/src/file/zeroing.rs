//! Trimming and zeroing, as the file system can (fallocate(2)).

use device::WriteFlags;
use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use crate::error::BlobError;
use crate::file::{FileSource, on_a_thread};

/// Bytes written at once where zeroes have to be written one by one.
const ZEROES: usize = 1 << 20;

impl FileSource {
    /// As [`Source::trim`](crate::Source::trim).
    pub(crate) async fn trim(
        &self,
        offset: u64,
        length: u64,
        flags: WriteFlags,
    ) -> Result<(), BlobError> {
        let file = self.clone();
        on_a_thread(move || {
            let punched = file.punch(offset, length);
            file.unflushed().note_change();
            match punched {
                Ok(()) | Err(BlobError::Unsupported(_)) => {}
                Err(error) => return Err(error),
            }
            file.sync_if_wanted(flags)
        })
        .await
    }

    /// As [`Source::zero`](crate::Source::zero).
    pub(crate) async fn zero(
        &self,
        offset: u64,
        length: u64,
        flags: WriteFlags,
    ) -> Result<(), BlobError> {
        let file = self.clone();
        on_a_thread(move || {
            let zeroed = file.zero_waiting(offset, length, flags);
            file.unflushed().note_change();
            zeroed?;
            file.sync_if_wanted(flags)
        })
        .await
    }

    fn zero_waiting(&self, offset: u64, length: u64, flags: WriteFlags) -> Result<(), BlobError> {
        if !flags.contains(WriteFlags::NO_HOLE) {
            match self.punch(offset, length) {
                Err(BlobError::Unsupported(_)) => {}
                done => return done,
            }
        }
        let in_place = FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE;
        match self.allocate(in_place, offset, length) {
            Err(BlobError::Unsupported(_)) if !flags.contains(WriteFlags::FAST_ZERO) => {
                self.write_zeroes(offset, length)
            }
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
        match rustix::fs::fallocate(self.file(), flags, offset, length) {
            Ok(()) => Ok(()),
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
                Err(BlobError::Unsupported("fallocate"))
            }
            Err(error) => Err(self.failed(error)),
        }
    }
}
