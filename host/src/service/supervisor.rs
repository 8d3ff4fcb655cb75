//! The process that started this one, and wants to hear how far it is.

use outside::{Keeper, Stage};
use sd_notify::NotifyState;

use crate::walls;

/// Who is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Supervisor {
    /// Nobody.
    None,
    /// The keeper, which tells whoever started it.
    Keeper,
    /// systemd, if it started this process (`sd_notify(3)`). Fits `Type=notify` and `notify-reload`.
    Systemd,
}

impl Supervisor {
    /// The keeper, if there is one, which tells this one.
    pub(crate) fn or_keeper(self) -> Self {
        match Keeper::get() {
            Some(_) => Self::Keeper,
            None => self,
        }
    }

    /// Clients can come, as what was looked at last says.
    pub(crate) fn ready(self) {
        self.tell(Stage::Ready, &[NotifyState::Ready]);
    }

    /// What is served is looked at again; [`ready`](Self::ready) follows.
    pub(crate) fn reloading(self) {
        // `Type=notify-reload` wants both at once.
        let mut reloading = vec![NotifyState::Reloading];
        reloading.extend(NotifyState::monotonic_usec_now());
        self.tell(Stage::Reloading, &reloading);
    }

    /// No more clients can come.
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
