//! The system calls of a server, in addition to those of [threads](super::threads): for its clients' sockets, open
//! files and disks, and memory for compiled code.

use libc::*;

use super::call::{Call, any, has, is, is_request, null, with};

/// The list of a server.
pub(super) const CALLS: &[Call] = &[
    // New clients and connected clients.
    any(SYS_accept4),
    any(SYS_recvfrom),
    any(SYS_recvmsg),
    any(SYS_sendto),
    any(SYS_sendmsg),
    any(SYS_shutdown),
    any(SYS_getsockname),
    any(SYS_getpeername),
    any(SYS_getsockopt),
    any(SYS_setsockopt),
    with(SYS_socketpair, &[is(0, AF_UNIX)]),
    // Open files, disks and pipes.
    any(SYS_read),
    any(SYS_pread64),
    any(SYS_preadv2),
    any(SYS_write),
    any(SYS_writev),
    any(SYS_pwrite64),
    any(SYS_pwritev2),
    any(SYS_lseek),
    any(SYS_fstat),
    with(SYS_newfstatat, &[has(3, AT_EMPTY_PATH)]),
    with(SYS_statx, &[has(2, AT_EMPTY_PATH)]),
    any(SYS_fallocate),
    any(SYS_fdatasync),
    any(SYS_fadvise64),
    any(SYS_getdents64),
    with(SYS_ioctl, &[is_request(1, FIONBIO)]),
    with(SYS_ioctl, &[is_request(1, TCGETS)]),
    with(SYS_ioctl, &[is_request(1, TIOCGWINSZ)]),
    with(SYS_fcntl, &[is(1, F_GETFD)]),
    with(SYS_fcntl, &[is(1, F_SETFD)]),
    with(SYS_fcntl, &[is(1, F_GETFL)]),
    with(SYS_fcntl, &[is(1, F_SETFL)]),
    with(SYS_fcntl, &[is(1, F_DUPFD_CLOEXEC)]),
    with(SYS_fcntl, &[is(1, F_ADD_SEALS)]),
    with(SYS_fcntl, &[is(1, F_OFD_SETLK)]),
    with(SYS_fcntl, &[is(1, F_OFD_GETLK)]),
    any(SYS_close),
    // Its own process and its parent, and names of its threads.
    any(SYS_getpid),
    any(SYS_getppid),
    with(SYS_prctl, &[is(0, PR_SET_NAME)]),
    with(SYS_prlimit64, &[is(0, 0), null(2)]),
    // A thread that waits for another one's lock.
    any(SYS_sched_yield),
    // Events and timers.
    any(SYS_epoll_create1),
    any(SYS_epoll_ctl),
    #[cfg(not(target_arch = "x86_64"))]
    any(SYS_epoll_pwait),
    #[cfg(target_arch = "x86_64")]
    any(SYS_epoll_wait),
    #[cfg(target_arch = "x86_64")]
    any(SYS_poll),
    any(SYS_eventfd2),
    #[cfg(not(target_arch = "x86_64"))]
    any(SYS_ppoll),
    any(SYS_clock_nanosleep),
    // Code. Memory becomes executable only after the process has written it, and is no longer writable then.
    with(SYS_mprotect, &[is(2, PROT_READ | PROT_EXEC)]),
    any(SYS_memfd_create),
];
