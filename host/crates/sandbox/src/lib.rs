//! The kernel's walls around a process that runs untrusted code.
//!
//! A process enters for good: no call of this crate or of the kernel gives back what [`enter`] took. Three mechanisms
//! work together.
//!
//! - Landlock (`paths.rs`) denies every path, TCP's `bind` and `connect`, abstract unix sockets, and signals to
//!   processes outside.
//! - seccomp (`calls.rs`) denies every system call except those on the list of the process's [`Role`].
//! - `no_new_privs` and "not dumpable" (prctl(2)) keep set-user-id programs and debuggers out.
//!
//! Open descriptors stay open. The parent of a process decides which ones the process holds.

#![forbid(unsafe_code)]

mod calls;
mod kernel;
mod paths;

use std::collections::BTreeSet;

use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use thiserror::Error;

pub use self::kernel::Kernel;

/// The purpose of a process, which decides the system calls that it may make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A compiler turns a plugin's bytes into machine code. It reads and writes open descriptors, and computes.
    Compiler,
    /// A server serves clients and runs plugins, on sockets and files that it receives open.
    Server,
}

/// A wall that the kernel has, but refused.
#[derive(Debug, Error)]
pub enum SandboxError {
    /// The kernel refused Landlock.
    #[error("Landlock: {0}")]
    Paths(#[from] landlock::RulesetError),
    /// The kernel refused a seccomp filter.
    #[error("seccomp: {0}")]
    Calls(#[from] seccompiler::Error),
    /// prctl(2) failed.
    #[error("prctl: {0}")]
    Process(#[from] rustix::io::Errno),
}

/// The system calls that a role may make, by their numbers on this architecture (syscalls(2)).
#[must_use]
pub fn listed(role: Role) -> BTreeSet<i64> {
    calls::listed(role)
}

/// Takes from this process everything that its role doesn't need. The process must have one thread only, because other
/// threads would keep what they have. Returns the walls that this kernel lacks; the others are in force. Doesn't block.
///
/// # Errors
/// The kernel refused a wall that it has. The caller must end the process, which may be behind some of the walls
/// already.
pub fn enter(role: Role) -> Result<Vec<String>, SandboxError> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let mut missing = paths::deny()?;
    missing.extend(calls::deny_others(role)?);
    Ok(missing)
}
