//! The process of a server: its start, signals to it, and its end.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::process::{ExitStatus, Stdio};

use anyhow::Context as _;
use nbdbox_config::config::Part;
use outside::Link;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::walls;

/// This program, even if somebody has replaced its file (proc(5)).
const OWN_PROGRAM: &str = "/proc/self/exe";

/// How the keeper starts servers.
pub(super) struct Launch {
    /// The command line, without the program's name.
    pub(super) arguments: Vec<OsString>,
    /// Whether a server fails at its start if the kernel lacks a wall.
    pub(super) all_walls: bool,
}

/// The process of a server. Dropping it kills the process.
pub(super) struct Process(Child);

impl Launch {
    /// Starts the server of a part, without the `hidden` environment variables. Returns the keeper's end of the link.
    ///
    /// # Errors
    /// The kernel can't start another process, or the keeper has no descriptor left.
    pub(super) fn start(&self, part: &Part, hidden: &[String]) -> anyhow::Result<(Process, Link)> {
        let (here, there) = Link::pair().context("can't make a link to the server")?;
        let mut command = Command::new(OWN_PROGRAM);
        for variable in hidden {
            command.env_remove(variable);
        }
        let child = command
            .arg0("nbdbox")
            .arg(walls::SUBCOMMAND)
            .args(self.all_walls.then_some(walls::ALL))
            .arg(format!("{}={part}", walls::PART))
            .arg("--")
            .args(&self.arguments)
            .stdin(Stdio::from(OwnedFd::from(there)))
            // A terminal sends signals to all processes in the foreground. The server gets them from the keeper only.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("can't start the server's process")?;
        Ok((Process(child), here))
    }
}

impl Process {
    /// Sends a signal. Does nothing if the process has ended.
    pub(super) fn signal(&self, signal: Signal) {
        let id = self.0.id().and_then(|id| i32::try_from(id).ok());
        if let Some(process) = id.and_then(Pid::from_raw) {
            let _ = kill_process(process, signal);
        }
    }

    /// Waits for the end of the process. Dropping the future is safe.
    ///
    /// # Errors
    /// The kernel can't return the process's status.
    pub(super) async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.0.wait().await
    }
}
