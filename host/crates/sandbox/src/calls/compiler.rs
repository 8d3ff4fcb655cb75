//! The system calls of a compiler, in addition to those of [threads](super::threads): for its open pipes and file.

use libc::*;

use super::call::{Call, any, has, with};

/// The list of a compiler.
pub(super) const CALLS: &[Call] = &[
    // The plugin's bytes, error texts, and the code.
    any(SYS_read),
    any(SYS_write),
    any(SYS_lseek),
    any(SYS_fstat),
    with(SYS_newfstatat, &[has(3, AT_EMPTY_PATH)]),
    with(SYS_statx, &[has(2, AT_EMPTY_PATH)]),
    any(SYS_fsync),
    any(SYS_close),
];
