//! What this kernel can take from a process.

use std::thread;

use crate::{Role, calls, paths};

/// What this kernel can take from a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// What it lacks of Landlock, or why it refuses it; nothing if all that is used is there.
    pub paths: Vec<String>,
    /// The same of seccomp.
    pub calls: Vec<String>,
}

impl Kernel {
    /// Tries it in a thread that ends with it: both walls are a thread's own. Waits for that thread, which doesn't block.
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
        let refused = |_| vec!["the kernel ended the thread that tried it".to_owned()];
        Self {
            paths: asked.0.unwrap_or_else(refused),
            calls: asked.1.unwrap_or_else(refused),
        }
    }
}
