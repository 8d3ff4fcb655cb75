//! Trimming and zeroing with the file system's own means (fallocate(2)).

use device::WriteFlags;
use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use crate::error::BlobError;
use crate::file::FileSource;

impl FileSource {
    /// As [`Source::trim`](crate::Source::trim).
    pub(crate) async fn trim(
        &self,
        offset: u64,
        length: u64,
        flags: WriteFlags,
    ) -> Result<(), BlobError> {
        self.on_lane(move |file| {
            let punched = file.punch(offset, length);
            file.unflushed().note_change();
            match punched {
                Ok(()) | Err(BlobError::Unsupported(_)) => Ok(()),
                Err(error) => Err(error),
            }
        })
        .await?;
        self.sync_if_wanted(flags).await
    }

    /// As [`Source::zero`](crate::Source::zero).
    pub(crate) async fn zero(
        &self,
        offset: u64,
        length: u64,
        flags: WriteFlags,
    ) -> Result<(), BlobError> {
        self.on_lane(move |file| {
            let zeroed = file.zero_waiting(offset, length, flags);
            file.unflushed().note_change();
            zeroed
        })
        .await?;
        self.sync_if_wanted(flags).await
    }

    fn zero_waiting(&self, offset: u64, length: u64, flags: WriteFlags) -> Result<(), BlobError> {
        if !flags.contains(WriteFlags::NO_HOLE) {
            match self.punch(offset, length) {
                Err(BlobError::Unsupported(_)) => {}
                done => return done,
            }
        }
        let in_place = FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE;
        self.allocate(in_place, offset, length)
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
