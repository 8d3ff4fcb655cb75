//! What the compiler's process asks of the kernel: memory without code in it, threads, and its open pipes and file.

use libc::*;

use super::call::{Call, any, has, is, lacks, null, with};

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
    // Memory, which is never code.
    any(SYS_brk),
    with(SYS_mmap, &[lacks(2, PROT_EXEC)]),
    with(SYS_mprotect, &[lacks(2, PROT_EXEC)]),
    any(SYS_mremap),
    any(SYS_munmap),
    any(SYS_madvise),
    // Threads of its own.
    with(
        SYS_clone,
        &[has(0, CLONE_THREAD | CLONE_VM | CLONE_SIGHAND)],
    ),
    any(SYS_set_robust_list),
    any(SYS_rseq),
    any(SYS_sigaltstack),
    any(SYS_rt_sigaction),
    any(SYS_rt_sigprocmask),
    any(SYS_rt_sigreturn),
    any(SYS_futex),
    any(SYS_sched_yield),
    any(SYS_sched_getaffinity),
    any(SYS_gettid),
    any(SYS_getpid),
    // They tell nothing, and libraries take it that they can't fail.
    any(SYS_getppid),
    any(SYS_getuid),
    any(SYS_geteuid),
    any(SYS_getgid),
    any(SYS_getegid),
    with(SYS_prctl, &[is(0, PR_SET_NAME)]),
    with(SYS_prlimit64, &[is(0, 0), null(2)]),
    any(SYS_getrandom),
    any(SYS_clock_gettime),
    any(SYS_exit),
    any(SYS_exit_group),
];
