//! The server's process, as its keeper has it.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::process::{ExitStatus, Stdio};

use anyhow::Context as _;
use outside::Link;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::walls;

/// This program, even if its file was replaced meanwhile (proc(5)).
const OWN_PROGRAM: &str = "/proc/self/exe";

/// A server's process, killed when it's dropped.
pub(super) struct Ward {
    child: Child,
}

impl Ward {
    /// Starts a server with this command line; the keeper has the other end of the link.
    ///
    /// # Errors
    /// There can be no other process.
    pub(super) fn start(arguments: &[OsString], all_walls: bool) -> anyhow::Result<(Self, Link)> {
        let (here, there) = Link::pair().context("can't make a link to the server")?;
        let child = Command::new(OWN_PROGRAM)
            .arg0("nbdbox")
            .arg(walls::SUBCOMMAND)
            .args(all_walls.then_some(walls::ALL))
            .arg("--")
            .args(arguments)
            .stdin(Stdio::from(OwnedFd::from(there)))
            // What a terminal sends to all of its foreground is the keeper's to hand on.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("can't start the server's process")?;
        Ok((Self { child }, here))
    }

    /// Hands a signal on. One that has ended already doesn't hear it.
    pub(super) fn signal(&self, signal: Signal) {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(process) = id.and_then(Pid::from_raw) {
            let _ = kill_process(process, signal);
        }
    }

    /// Waits for its end. Dropping it is safe.
    ///
    /// # Errors
    /// The kernel doesn't tell.
    pub(super) async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }
}
