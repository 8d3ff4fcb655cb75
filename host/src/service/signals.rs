//! The signals that an operator sends.
//!
//! | signal | effect |
//! |---|---|
//! | SIGTERM, SIGINT, SIGQUIT, SIGUSR1, SIGALRM, SIGXCPU | the process drains and ends |
//! | SIGHUP | the same, because the terminal has closed; with a configuration, a reload |
//! | SIGUSR2 | a line in the log: it's reserved for upgrades |
//! | SIGXFSZ | none: the write past the process's limit fails with EFBIG |
//!
//! If the process didn't catch the last four of the first row, they would kill it at once, and its sockets' files would
//! stay.

use std::fs;
use std::future::poll_fn;
use std::task::{Context, Poll};

use anyhow::{Context as _, bail};
use outside::Keeper;
use rustix::process::Signal;
use tokio::signal::unix::{self, SignalKind};

use crate::walls;

/// The signals after which every process drains and ends.
const ENDING: [Signal; 6] = [
    Signal::TERM,
    Signal::INT,
    Signal::QUIT,
    Signal::USR1,
    Signal::ALARM,
    Signal::XCPU,
];

/// The caught signals after which the process drains and ends.
pub(crate) struct Signals {
    ending: Vec<(Signal, unix::Signal)>,
    upgrade: unix::Signal,
}

impl Signals {
    /// Catches the signals of a process without a configuration. SIGHUP is one of them, unless the parent process set
    /// it to be ignored, as nohup(1) does.
    ///
    /// # Errors
    /// The kernel refuses a signal's handler.
    pub(crate) fn catch() -> anyhow::Result<Self> {
        let mut signals = Self::catch_without_hangup()?;
        if !is_ignored(Signal::HUP) {
            signals.ending.push((Signal::HUP, caught(Signal::HUP)?));
        }
        Ok(signals)
    }

    /// Catches all of the signals except SIGHUP.
    ///
    /// # Errors
    /// As for [`catch`](Self::catch).
    pub(super) fn catch_without_hangup() -> anyhow::Result<Self> {
        // The handler stays installed without a listener.
        drop(caught(Signal::XFSZ)?);
        let ending = ENDING.map(|signal| Ok((signal, caught(signal)?)));
        Ok(Self {
            ending: ending.into_iter().collect::<anyhow::Result<_>>()?,
            upgrade: caught(Signal::USR2)?,
        })
    }

    /// Waits for a signal that ends the process. Dropping the future loses none.
    pub(crate) async fn wait(&mut self) -> Signal {
        poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Signal> {
        while self.upgrade.poll_recv(context).is_ready() {
            tracing::warn!(
                target: "nbdbox::service",
                "SIGUSR2 has no effect: it's reserved for upgrades, which this version doesn't have"
            );
        }
        // The end of the keeper counts as SIGTERM, since nobody opens files or passes signals on any more.
        if Keeper::get().is_some() && walls::poll_gone(context).is_ready() {
            return Poll::Ready(Signal::TERM);
        }
        for (signal, caught) in &mut self.ending {
            if caught.poll_recv(context).is_ready() {
                return Poll::Ready(*signal);
            }
        }
        Poll::Pending
    }

    /// Does `work`, unless a signal comes first. The signal drops `work`, which must clean up, for example a compiler's
    /// process and its half-written file.
    ///
    /// # Errors
    /// The error of `work`; a signal came first.
    pub(crate) async fn unless_asked<T>(
        &mut self,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        tokio::select! {
            done = work => done,
            _ = self.wait() => bail!("stopped by a signal before it was ready"),
        }
    }
}

/// SIGHUP, caught. It no longer ends the process.
pub(super) struct Hangup(unix::Signal);

impl Hangup {
    pub(super) fn catch() -> anyhow::Result<Self> {
        Ok(Self(caught(Signal::HUP)?))
    }

    /// Waits for SIGHUP. One that has come since the last wait counts.
    pub(super) async fn wait(&mut self) {
        self.0.recv().await;
    }
}

fn caught(signal: Signal) -> anyhow::Result<unix::Signal> {
    let kind = SignalKind::from_raw(signal.as_raw());
    unix::signal(kind).with_context(|| format!("can't catch {signal:?}"))
}

/// Whether the process ignores a signal, as its parent decided (proc(5), `SigIgn`).
fn is_ignored(signal: Signal) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (signal.as_raw() - 1)) != 0)
}
