//! `--sandbox`: the walls around the process that runs plugins. All commands that run one have this option.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::process::ExitCode;

use anyhow::ensure;
use clap::Args;
use nbd_server::Inherited;
use nbdbox_config::config::Sandbox;
use outside::{Keeper, Rights};
use runtime::cache::Cache;
use sandbox::Kernel;

use crate::keeper::{self, Charge, Serving, Supplies};
use crate::service::{self, Signals, Supervisor, Until};

// The option `--sandbox`. Clap would show a doc comment here in place of each command's own.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct SandboxArgs {
    /// Run plugins in a process that the kernel keeps from files, the network and most system calls: `auto` uses what
    /// the kernel has, `require` refuses to start without all of it, `off` [default: auto]
    #[arg(long, value_name = "MODE", value_enum, hide_possible_values = true)]
    sandbox: Option<Mode>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Mode {
    Auto,
    Require,
    Off,
}

/// The role of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The keeper of another process. With `all_walls`, that process fails if the kernel lacks a wall.
    Keeper { all_walls: bool },
    /// The process that does the command's work, behind walls or without any.
    Worker,
}

impl SandboxArgs {
    /// Whether this process may be a keeper: it has no keeper itself, and the command line doesn't have `off`.
    pub(super) fn may_keep(&self) -> bool {
        Keeper::get().is_none() && self.sandbox != Some(Mode::Off)
    }

    /// The role of this process, for a command without a configuration.
    ///
    /// # Errors
    /// As for [`side_of`](Self::side_of).
    pub(super) fn side(&self) -> anyhow::Result<Side> {
        self.side_of(Sandbox::default())
    }

    /// The role of this process. `configured` counts if the command line has no `--sandbox`.
    ///
    /// # Errors
    /// The operator requires all walls, and the kernel lacks one.
    pub(super) fn side_of(&self, configured: Sandbox) -> anyhow::Result<Side> {
        if Keeper::get().is_some() {
            return Ok(Side::Worker);
        }
        let wanted = match self.sandbox {
            None => configured,
            Some(Mode::Auto) => Sandbox::Auto,
            Some(Mode::Require) => Sandbox::Require,
            Some(Mode::Off) => Sandbox::Off,
        };
        match wanted {
            Sandbox::Off => return Ok(Side::Worker),
            Sandbox::Auto => return Ok(Side::Keeper { all_walls: false }),
            Sandbox::Require => {}
        }
        let Kernel { paths, calls } = Kernel::ask();
        let missing: Vec<String> = paths.into_iter().chain(calls).collect();
        ensure!(
            missing.is_empty(),
            "--sandbox=require: this kernel lacks {}; see `nbdbox doctor`",
            missing.join("; ")
        );
        Ok(Side::Keeper { all_walls: true })
    }
}

/// Runs the same command line in a process behind walls, and returns that process's status when it ends. For commands
/// that have no clients.
///
/// # Errors
/// The process can't be started.
pub(super) fn keep(all_walls: bool, rights: Rights, cache: Cache) -> anyhow::Result<ExitCode> {
    keep_for(all_walls, rights, cache, None)
}

/// As [`keep`]; `input` becomes the process's standard input.
///
/// # Errors
/// As for [`keep`].
pub(super) fn keep_for(
    all_walls: bool,
    rights: Rights,
    cache: Cache,
    input: Option<OwnedFd>,
) -> anyhow::Result<ExitCode> {
    service::block_on_one(async {
        let signals = Signals::catch()?;
        let charge = Charge {
            arguments: arguments(),
            all_walls,
            pidfile: None,
            supervisor: Supervisor::None,
            restart: false,
            parts: Serving::all(rights),
            supplies: Supplies {
                cache,
                inherited: Inherited::from_environment()?,
                sockets: Box::new(|_| Ok((Vec::new(), None))),
                input,
            },
        };
        keeper::keep(signals, charge, keeper::Unchanging, |_| Ok(Nothing)).await
    })
}

/// This process's own arguments, without the program's name.
pub(super) fn arguments() -> Vec<OsString> {
    std::env::args_os().skip(1).collect()
}

/// Never done: only the process behind walls ends the keeper.
struct Nothing;

impl Until for Nothing {
    async fn done(&mut self) -> anyhow::Result<ExitCode> {
        std::future::pending().await
    }
}
