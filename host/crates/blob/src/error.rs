//! What goes wrong with files.

use std::io::{self, ErrorKind};

use thiserror::Error;

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

impl BlobError {
    /// Whether it's for lack of room: on the disk, in a quota, in the longest file there can be.
    #[must_use]
    pub fn is_full(&self) -> bool {
        use ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        let full = [StorageFull, QuotaExceeded, FileTooLarge];
        matches!(self, Self::Io { error, .. } if full.contains(&error.kind()))
    }
}
