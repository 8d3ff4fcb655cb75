//! A core for the server and another one for the client.
//!
//! If both may run anywhere on a small machine, the scheduler decides the figures: whether it puts them on one core, where
//! a wake-up is cheap, or on two, where they work at the same time. Pinned, they always do the latter, and figures are
//! steady.

use std::process::Command;

use anyhow::Context as _;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The two cores.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cores {
    pub(crate) server: usize,
    pub(crate) client: usize,
}

impl Cores {
    /// The first two cores that this process may use; `None` if there's only one, and nothing can be pinned.
    pub(crate) fn of_this_machine() -> anyhow::Result<Option<Self>> {
        let allowed = sched_getaffinity(None).context("which cores may this process use?")?;
        let mut cores = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
        let cores = cores.next().zip(cores.next());
        Ok(cores.map(|(server, client)| Self { server, client }))
    }

    /// The same command, on the server's core.
    pub(crate) fn pinned(self, command: &Command) -> Command {
        let mut pinned = Command::new("taskset");
        pinned
            .args(["-c", &self.server.to_string()])
            .arg(command.get_program())
            .args(command.get_args());
        pinned
    }

    /// Does `work` on the client's core: this thread, and those that it starts meanwhile.
    pub(crate) fn as_client<T>(
        self,
        work: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let before = sched_getaffinity(None)?;
        let mut only = CpuSet::new();
        only.set(self.client);
        sched_setaffinity(None, &only)?;
        let done = work();
        sched_setaffinity(None, &before)?;
        done
    }
}
