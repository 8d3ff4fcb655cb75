//! The system calls of every role: for its own threads, signals and time, and for memory that is never code.

use libc::*;

use super::call::{Call, any, has, lacks, with};

/// The list that every role has.
pub(super) const CALLS: &[Call] = &[
    // Memory.
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
    any(SYS_sched_getaffinity),
    any(SYS_gettid),
    any(SYS_getrandom),
    any(SYS_clock_gettime),
    any(SYS_restart_syscall),
    any(SYS_exit),
    any(SYS_exit_group),
];
