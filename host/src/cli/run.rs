//! `--run`: one command, for as long as which the server lives.

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

/// Time that the command has to end when the server has to: SIGKILL follows.
const PATIENCE: Duration = Duration::from_secs(5);

/// The pause between two looks whether all of the group have ended.
const PAUSE: Duration = Duration::from_millis(10);

/// What the command is to know of the server, in the variables that nbdkit's `--run` has.
#[derive(Debug, Default)]
pub(super) struct Variables {
    pub(super) uri: String,
    pub(super) export: String,
    /// `1` where TLS is there, `2` where there's nothing without it.
    pub(super) tls: Option<u8>,
    pub(super) port: String,
    pub(super) socket: OsString,
}

impl Variables {
    /// For a server that listens here.
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
            // As nbdkit has had it since 1.24: before, it was what old QEMU wrote.
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

/// A shell command, in a process group of its own. Whoever is left of the group when it's dropped before the command
/// has ended is killed.
pub(super) struct Captive {
    command: Command,
    running: Option<Running>,
}

struct Running {
    child: Child,
    group: Option<Pid>,
    /// Says that a child has changed.
    children: tokio::signal::unix::Signal,
    /// Gives the terminal back when it's dropped.
    foreground: Foreground,
}

impl Captive {
    /// A command that isn't started yet.
    pub(super) fn new(script: &OsStr, variables: &Variables) -> Self {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(script).process_group(0);
        variables.set(&mut command);
        // They were for the server.
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

    /// Asks the command to end, and then makes it.
    async fn end(&mut self) {
        let Some(running) = &mut self.running else {
            return;
        };
        running.send(Signal::TERM);
        // One that is stopped doesn't hear it otherwise.
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
    /// Whether somebody is left of the group.
    fn is_there(&self) -> bool {
        let group = self.group;
        group.is_some_and(|group| test_kill_process_group(group).is_ok())
    }

    fn send(&self, signal: Signal) {
        if let Some(group) = self.group {
            // It may have ended already.
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

/// The command's own status; 128 and the signal's number if one ended it, as shells say it.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    let code = code.and_then(|code| u8::try_from(code).ok());
    ExitCode::from(code.unwrap_or(FAILED))
}
