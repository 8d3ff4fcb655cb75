//! When `serve` ends: at a signal, with a command, or with its one client.

use std::process::ExitCode;
use std::sync::Arc;

use native_filters::Exit;
use nbd_server::OnlyClient;
use rustix::process::Signal;

use super::run::Captive;
use crate::service::Until;

/// When a server ends.
pub(super) enum Purpose {
    /// At a signal.
    Signals,
    /// At a signal, or when a filter ends it.
    Filters(Arc<Exit>),
    /// With the command of `--run`.
    Command(Box<Captive>),
    /// With the client of `--single`.
    Client(OnlyClient),
}

impl Until for Purpose {
    async fn done(&mut self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Signals => std::future::pending().await,
            Self::Filters(exit) => {
                exit.asked().await;
                Ok(ExitCode::SUCCESS)
            }
            Self::Command(command) => command.done().await,
            Self::Client(client) => {
                client.left().await;
                Ok(ExitCode::SUCCESS)
            }
        }
    }

    async fn end(&mut self) {
        if let Self::Command(command) = self {
            command.end().await;
        }
    }

    fn status(&self, signal: Signal) -> ExitCode {
        match self {
            Self::Command(command) => command.status(signal),
            Self::Signals | Self::Filters(_) | Self::Client(_) => ExitCode::SUCCESS,
        }
    }
}
