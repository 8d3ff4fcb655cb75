//! Notifies the process that started this one of its stage.

use outside::{Keeper, Stage};
use sd_notify::NotifyState;

use crate::walls;

/// The process that gets the stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Supervisor {
    /// No process.
    None,
    /// The keeper, which notifies its own supervisor.
    Keeper,
    /// systemd, if it started this process (`sd_notify(3)`). Fits `Type=notify` and `notify-reload`.
    Systemd,
}

impl Supervisor {
    /// The keeper, if the process has one; else this supervisor.
    pub(crate) fn or_keeper(self) -> Self {
        match Keeper::get() {
            Some(_) => Self::Keeper,
            None => self,
        }
    }

    /// Reports that the process admits clients, with the latest configuration.
    pub(crate) fn ready(self) {
        self.tell(Stage::Ready, &[NotifyState::Ready]);
    }

    /// Reports that a reload has begun. [`ready`](Self::ready) must follow.
    pub(crate) fn reloading(self) {
        // `Type=notify-reload` requires both in one message.
        let mut reloading = vec![NotifyState::Reloading];
        reloading.extend(NotifyState::monotonic_usec_now());
        self.tell(Stage::Reloading, &reloading);
    }

    /// Reports that the process admits no new client.
    pub(crate) fn stopping(self) {
        self.tell(Stage::Stopping, &[NotifyState::Stopping]);
    }

    fn tell(self, stage: Stage, state: &[NotifyState<'_>]) {
        match self {
            Self::None => return,
            Self::Keeper => return walls::tell(stage),
            Self::Systemd => {}
        }
        if let Err(error) = sd_notify::notify(false, state) {
            tracing::warn!("can't notify systemd: {error}");
        }
    }
}
