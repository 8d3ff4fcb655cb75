//! `--run`: a command, with which the server ends.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

use anyhow::Context as _;
use nbd_server::Address;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{sleep, timeout};

use super::foreground::Foreground;
use super::{FAILED, ended_by};
use crate::service::Until;

/// The time that the command gets to end when the server has to; then it gets SIGKILL.
const PATIENCE: Duration = Duration::from_secs(5);

/// The pause between two checks whether all processes of the group have ended.
const PAUSE: Duration = Duration::from_millis(10);

/// What the command gets to know about the server, in the variables of nbdkit's `--run`.
#[derive(Debug, Default)]
pub(super) struct Variables {
    pub(super) uri: String,
    pub(super) export: String,
    /// `1` if the server offers TLS, `2` if it requires TLS.
    pub(super) tls: Option<u8>,
    pub(super) port: String,
    pub(super) socket: OsString,
}

impl Variables {
    /// The variables for a server that listens on `address`.
    pub(super) fn new(address: &Address, uri: &str, export: &str, tls: Option<u8>) -> Self {
        let (port, socket) = match address {
            Address::Unix(path) => (String::new(), path.clone().into_os_string()),
            Address::Tcp(_, port) => (port.to_string(), OsString::new()),
            Address::Vsock { port, .. } => (port.to_string(), OsString::new()),
        };
        Self {
            uri: uri.to_owned(),
            export: export.to_owned(),
            tls,
            port,
            socket,
        }
    }

    fn set(&self, command: &mut Command) {
        command
            .env("uri", &self.uri)
            // The URI, as in nbdkit since 1.24. Older versions had the syntax of old QEMUs here.
            .env("nbd", &self.uri)
            .env("port", &self.port)
            .env("unixsocket", &self.socket)
            .env("exportname", &self.export)
            .env_remove("tls");
        if let Some(tls) = self.tls {
            command.env("tls", tls.to_string());
        }
    }
}

/// A shell command in a process group of its own. Dropping it before the command has ended kills the group.
pub(super) struct Captive {
    command: Command,
    running: Option<Running>,
}

struct Running {
    child: Child,
    group: Option<Pid>,
    /// Reports SIGCHLD: a child has changed state.
    children: tokio::signal::unix::Signal,
    /// Returns the terminal when it's dropped.
    foreground: Foreground,
}

impl Captive {
    /// A command that isn't started yet. `variables` become its environment.
    pub(super) fn new(script: &OsStr, variables: &Variables) -> Self {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(script).process_group(0);
        variables.set(&mut command);
        // These descriptors are the server's.
        for own in ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"] {
            command.env_remove(own);
        }
        let running = None;
        Self { command, running }
    }
}

impl Until for Captive {
    async fn done(&mut self) -> anyhow::Result<ExitCode> {
        const NAMED: &str = "can't run the --run command";
        let running = match &mut self.running {
            Some(running) => running,
            none => {
                let children = signal(SignalKind::child()).context(NAMED)?;
                let child = self.command.spawn().context(NAMED)?;
                let id = child.id().and_then(|id| i32::try_from(id).ok());
                let group = id.and_then(Pid::from_raw);
                none.insert(Running {
                    child,
                    group,
                    children,
                    foreground: group.map(Foreground::lend).unwrap_or_default(),
                })
            }
        };
        let status = loop {
            tokio::select! {
                status = running.child.wait() => break status.context(NAMED)?,
                _ = running.children.recv() => running.foreground.stop_together(),
            }
        };
        self.running = None;
        Ok(exit_code(status))
    }

    /// Sends SIGTERM to the group, and waits until all of its processes have ended, for [`PATIENCE`] at most.
    async fn end(&mut self) {
        let Some(running) = &mut self.running else {
            return;
        };
        running.send(Signal::TERM);
        // A stopped process gets SIGTERM only when it continues.
        running.send(Signal::CONT);
        let ended = timeout(PATIENCE, async {
            let _ = running.child.wait().await;
            while running.is_there() {
                sleep(PAUSE).await;
            }
        });
        if ended.await.is_ok() {
            self.running = None;
        }
    }

    fn status(&self, signal: Signal) -> ExitCode {
        ended_by(signal)
    }
}

impl Running {
    /// Whether any process of the group is left.
    fn is_there(&self) -> bool {
        let group = self.group;
        group.is_some_and(|group| test_kill_process_group(group).is_ok())
    }

    fn send(&self, signal: Signal) {
        if let Some(group) = self.group {
            // The group may have ended already.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Captive {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.send(Signal::KILL);
        }
    }
}

/// The command's own status; 128 and the signal's number if a signal ended it, as in shells.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    let code = code.and_then(|code| u8::try_from(code).ok());
    ExitCode::from(code.unwrap_or(FAILED))
}
