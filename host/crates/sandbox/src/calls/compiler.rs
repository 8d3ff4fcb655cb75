//! The system calls of a compiler, in addition to those of [threads](super::threads): for its open pipes and file.

use libc::*;

use super::call::{Call, any};

/// The list of a compiler.
pub(super) const CALLS: &[Call] = &[
    // The plugin's bytes, error texts, and the code.
    any(SYS_read),
    any(SYS_write),
    any(SYS_fsync),
    any(SYS_close),
];
