//! What the compiler's process asks of the kernel, in addition to [threads](super::threads): its open pipes and file.

use libc::*;

use super::call::{Call, any, has, with};

/// The list.
pub(super) const CALLS: &[Call] = &[
    // Its input, its words and its output.
    any(SYS_read),
    any(SYS_write),
    any(SYS_lseek),
    any(SYS_fstat),
    with(SYS_newfstatat, &[has(3, AT_EMPTY_PATH)]),
    with(SYS_statx, &[has(2, AT_EMPTY_PATH)]),
    any(SYS_fsync),
    any(SYS_close),
];
