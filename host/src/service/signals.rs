//! The signals that an operator sends.
//!
//! | signal | what it does |
//! |---|---|
//! | SIGTERM, SIGINT, SIGQUIT, SIGUSR1, SIGALRM, SIGXCPU | ends the process in order |
//! | SIGHUP | the same, as the terminal is gone. With a configuration it asks for a reload |
//! | SIGUSR2 | nothing yet, and the log says so: it's kept for upgrades |
//! | SIGXFSZ | nothing: the write past the process's limit fails with EFBIG |
//!
//! The last four of the first row would end the process too if nobody caught them, at once, and leave its sockets.

use std::fs;
use std::future::poll_fn;
use std::task::{Context, Poll};

use anyhow::{Context as _, bail};
use outside::Keeper;
use rustix::process::Signal;
use tokio::signal::unix::{self, SignalKind};

use crate::walls;

/// Signals that end the process in order, whatever it does.
const ENDING: [Signal; 6] = [
    Signal::TERM,
    Signal::INT,
    Signal::QUIT,
    Signal::USR1,
    Signal::ALARM,
    Signal::XCPU,
];

/// All signals that end the process in order. From here on they don't end it by themselves.
pub(crate) struct Signals {
    ending: Vec<(Signal, unix::Signal)>,
    upgrade: unix::Signal,
}

impl Signals {
    /// For a process without a configuration: SIGHUP ends it, unless whoever started it had it ignored, as nohup(1)
    /// does.
    pub(crate) fn catch() -> anyhow::Result<Self> {
        let mut signals = Self::catch_without_hangup()?;
        if !is_ignored(Signal::HUP) {
            signals.ending.push((Signal::HUP, caught(Signal::HUP)?));
        }
        Ok(signals)
    }

    /// All but SIGHUP.
    pub(super) fn catch_without_hangup() -> anyhow::Result<Self> {
        // Once caught it stays so: nobody has to listen.
        drop(caught(Signal::XFSZ)?);
        let ending = ENDING.map(|signal| Ok((signal, caught(signal)?)));
        Ok(Self {
            ending: ending.into_iter().collect::<anyhow::Result<_>>()?,
            upgrade: caught(Signal::USR2)?,
        })
    }

    /// Waits for one that ends the process. Dropping it loses none.
    pub(crate) async fn wait(&mut self) -> Signal {
        poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Signal> {
        while self.upgrade.poll_recv(context).is_ready() {
            tracing::warn!(
                target: "nbdbox::service",
                "SIGUSR2 does nothing: it's kept for upgrades, which this version doesn't have"
            );
        }
        // As good as SIGTERM: nobody opens files any more, and nobody hands signals on.
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

    /// Does `work`, unless a signal comes first. Then what it began is dropped and so cleaned up: a
    /// compiler's process and its half-written file, say.
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

/// SIGHUP. From here on it doesn't end the process.
pub(super) struct Hangup(unix::Signal);

impl Hangup {
    pub(super) fn catch() -> anyhow::Result<Self> {
        Ok(Self(caught(Signal::HUP)?))
    }

    /// Waits for it. One that came before counts.
    pub(super) async fn wait(&mut self) {
        self.0.recv().await;
    }
}

fn caught(signal: Signal) -> anyhow::Result<unix::Signal> {
    let kind = SignalKind::from_raw(signal.as_raw());
    unix::signal(kind).with_context(|| format!("can't catch {signal:?}"))
}

/// Whether the process was started with a signal ignored (proc(5), `SigIgn`).
fn is_ignored(signal: Signal) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (signal.as_raw() - 1)) != 0)
}
