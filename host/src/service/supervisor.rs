//! The process that started this one, and wants to hear how far it is.

use sd_notify::NotifyState;

/// Who is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Supervisor {
    /// Nobody.
    None,
    /// systemd, if it started this process (`sd_notify(3)`). Fits `Type=notify` and `notify-reload`.
    Systemd,
}

impl Supervisor {
    /// Clients can come, as what was looked at last says.
    pub(super) fn ready(self) {
        self.tell(&[NotifyState::Ready]);
    }

    /// What is served is looked at again; [`ready`](Self::ready) follows.
    pub(super) fn reloading(self) {
        // `Type=notify-reload` wants both at once.
        let mut reloading = vec![NotifyState::Reloading];
        reloading.extend(NotifyState::monotonic_usec_now());
        self.tell(&reloading);
    }

    /// No more clients can come.
    pub(super) fn stopping(self) {
        self.tell(&[NotifyState::Stopping]);
    }

    fn tell(self, state: &[NotifyState<'_>]) {
        if self == Self::None {
            return;
        }
        if let Err(error) = sd_notify::notify(false, state) {
            tracing::warn!("can't notify systemd: {error}");
        }
    }
}
