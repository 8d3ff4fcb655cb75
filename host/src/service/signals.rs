//! The signals that an operator sends: SIGTERM and SIGINT end the process, SIGHUP asks for a reload.

use anyhow::{Context as _, bail};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Both signals. From here on they don't end the process by themselves.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(crate) fn catch() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("can't catch SIGTERM")?,
            interrupt: signal(SignalKind::interrupt()).context("can't catch SIGINT")?,
        })
    }

    /// Waits for either.
    pub(crate) async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Does `work`, unless a signal comes first. Then what it began is dropped and so cleaned up: a
    /// compiler's process and its half-written file, say.
    pub(crate) async fn unless_asked<T>(
        &mut self,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        tokio::select! {
            done = work => done,
            () = self.wait() => bail!("stopped by a signal before it was ready"),
        }
    }
}

/// SIGHUP. From here on it doesn't end the process.
pub(super) struct Hangup(Signal);

impl Hangup {
    pub(super) fn catch() -> anyhow::Result<Self> {
        let signal = signal(SignalKind::hangup()).context("can't catch SIGHUP")?;
        Ok(Self(signal))
    }

    /// Waits for it. One that came before counts.
    pub(super) async fn wait(&mut self) {
        self.0.recv().await;
    }
}
