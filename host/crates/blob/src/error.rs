//! Failures of blobs.

use std::io::{self, ErrorKind};

use thiserror::Error;

/// Why an operation on a blob failed. The host is at fault, except for [`Range`](Self::Range).
#[derive(Debug, Error)]
pub enum BlobError {
    /// The range isn't inside the blob.
    #[error("{length} bytes at {offset} aren't inside the blob, which has {size} bytes")]
    Range {
        /// Start in bytes.
        offset: u64,
        /// Length in bytes.
        length: u64,
        /// The blob's size in bytes.
        size: u64,
    },
    /// The file is shorter than when it was opened.
    #[error("{path}: the file has shrunk since it was opened: it has no byte at {offset}")]
    Shrunk {
        /// The operator's path.
        path: String,
        /// The first missing byte.
        offset: u64,
    },
    /// This file can't do that, or not quickly.
    #[error("{0}: not supported for this file")]
    Unsupported(&'static str),
    /// The kernel's error.
    #[error("{path}: {error}")]
    Io {
        /// The operator's path.
        path: String,
        /// The error of the system call.
        error: io::Error,
    },
}

impl BlobError {
    /// Whether there was no room: on the disk, in a quota, or in a file of the largest possible size.
    #[must_use]
    pub fn is_full(&self) -> bool {
        use ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        let full = [StorageFull, QuotaExceeded, FileTooLarge];
        matches!(self, Self::Io { error, .. } if full.contains(&error.kind()))
    }
}
