//! What `serve` runs for: until a signal comes, or while a command runs, or while one client is connected.

use std::process::ExitCode;
use std::sync::Arc;

use native_filters::Exit;
use nbd_server::OnlyClient;
use rustix::process::Signal;

use super::run::Captive;
use crate::service::Until;

/// Until when a server runs.
pub(super) enum Purpose {
    /// Until a signal comes.
    Signals,
    /// Until a signal comes, or a filter ends it.
    Filters(Arc<Exit>),
    /// While the command of `--run` runs.
    Command(Box<Captive>),
    /// While the client of `--single` is connected.
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
