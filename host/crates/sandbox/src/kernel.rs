//! Finds out which walls this kernel has.

use std::thread;

use crate::{Role, calls, paths};

/// The walls that this kernel lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// The missing parts of Landlock, or why the kernel refuses it; empty if it has all parts that nbdbox uses.
    pub paths: Vec<String>,
    /// The same for seccomp.
    pub calls: Vec<String>,
}

impl Kernel {
    /// Tries each wall in a thread of its own, which ends with it: a wall holds for one thread. Waits for both threads,
    /// which don't block.
    #[must_use]
    pub fn ask() -> Self {
        let asked = thread::scope(|scope| {
            let paths =
                scope.spawn(|| paths::deny().unwrap_or_else(|error| vec![error.to_string()]));
            let calls = scope.spawn(|| {
                let denied = calls::deny_others(Role::Compiler);
                denied.unwrap_or_else(|error| vec![error.to_string()])
            });
            (paths.join(), calls.join())
        });
        let refused = |_| vec!["the kernel killed the thread that tried it".to_owned()];
        Self {
            paths: asked.0.unwrap_or_else(refused),
            calls: asked.1.unwrap_or_else(refused),
        }
    }
}
