//! A file that is in memory already.

use crate::{Result, Source};

/// Bytes as a file, for tests and fuzz targets: one that is asked for what isn't inside panics, since a
/// format never may.
#[derive(Debug, Clone, Copy)]
pub struct Bytes<B>(pub B);

impl<B: AsRef<[u8]>> Source for Bytes<B> {
    fn size(&self) -> u64 {
        self.0.as_ref().len() as u64
    }

    fn read(&self, offset: u64, length: usize) -> Result<Vec<u8>> {
        Ok(self.0.as_ref()[offset as usize..][..length].to_vec())
    }
}
