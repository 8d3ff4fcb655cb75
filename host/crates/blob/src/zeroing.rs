//! Trimming and zeroing, as the file system can (fallocate(2)).

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use crate::error::BlobError;
use crate::file::{Blob, on_a_thread};

/// Bytes written at once where zeroes have to be written one by one.
const ZEROES: usize = 1 << 20;

impl Blob {
    /// Gives the range back to the file system where that is possible; a hint.
    ///
    /// # Errors
    /// Range, I/O.
    pub async fn trim(&self, offset: u64, length: u64, fua: bool) -> Result<(), BlobError> {
        self.check(offset, length)?;
        let blob = self.clone();
        on_a_thread(move || {
            let punched = blob.punch(offset, length);
            blob.unflushed().note_change();
            match punched {
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
            let zeroed = blob.zero_waiting(offset, length, no_hole, fast);
            blob.unflushed().note_change();
            zeroed?;
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
        match rustix::fs::fallocate(self.file(), flags, offset, length) {
            Ok(()) => Ok(()),
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
                Err(BlobError::Unsupported("fallocate"))
            }
            Err(error) => Err(self.failed(error)),
        }
    }
}
