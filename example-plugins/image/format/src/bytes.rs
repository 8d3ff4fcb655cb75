//! A file in memory.

use crate::{Result, Source};

/// Bytes as a file, for tests and fuzz targets. It panics on a read outside the bytes, which a format must never make.
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
