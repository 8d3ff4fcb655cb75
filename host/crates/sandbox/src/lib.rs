//! The kernel's walls around a process that runs code which nobody trusts.
//!
//! A process enters for good: no call of this crate, and none of the kernel's, gives back what [`enter`] took. Three
//! mechanisms work together.
//!
//! - Landlock (`paths.rs`) denies every path, TCP's `bind` and `connect`, abstract unix sockets, and signals to
//!   processes outside.
//! - seccomp (`calls.rs`) denies every system call except those on the list of the process's [`Role`].
//! - `no_new_privs` and "not dumpable" (prctl(2)) keep set-user-id programs and debuggers out.
//!
//! Descriptors that are open stay open: what a process holds is decided by whoever started it.

#![forbid(unsafe_code)]

mod calls;
mod kernel;
mod paths;

use std::collections::BTreeSet;

use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use thiserror::Error;

pub use self::kernel::Kernel;

/// What a process is for, which decides what it may ask of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It turns a plugin's bytes into machine code: reads and writes open descriptors, and computes.
    Compiler,
    /// It serves clients and runs plugins: on sockets that it was handed, and open files.
    Server,
}

/// A wall that couldn't be built.
#[derive(Debug, Error)]
pub enum SandboxError {
    /// Landlock.
    #[error("Landlock: {0}")]
    Paths(#[from] landlock::RulesetError),
    /// seccomp.
    #[error("seccomp: {0}")]
    Calls(#[from] seccompiler::Error),
    /// prctl(2).
    #[error("prctl: {0}")]
    Process(#[from] rustix::io::Errno),
}

/// The system calls that a role may make, by their numbers on this architecture (syscalls(2)).
#[must_use]
pub fn listed(role: Role) -> BTreeSet<i64> {
    calls::listed(role)
}

/// Takes from this process all that its role doesn't need. To be called while it has one thread: threads that are there
/// already would keep what they have. Returns what this kernel lacks; the rest is in force. Doesn't block.
///
/// # Errors
/// The kernel refused a wall that it has. The process is to end: what was taken before stays taken.
pub fn enter(role: Role) -> Result<Vec<String>, SandboxError> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let mut missing = paths::deny()?;
    missing.extend(calls::deny_others(role)?);
    Ok(missing)
}
