//! Sockets that systemd opened before it started us (`sd_listen_fds(3)`).

use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, bail};
use listenfd::ListenFd;
use tokio::net::{TcpListener, UnixListener};

use super::listener::Kind;

/// The inherited sockets, each to be had once.
pub struct Inherited {
    sockets: Mutex<ListenFd>,
    names: Vec<String>,
}

impl std::fmt::Debug for Inherited {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Inherited").field(&self.names).finish()
    }
}

impl Inherited {
    /// Those that there are, with the names that `FileDescriptorName=` gave them.
    #[must_use]
    pub fn from_environment() -> Self {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        Self {
            sockets: Mutex::new(ListenFd::from_env()),
            names: names.split(':').map(str::to_owned).collect(),
        }
    }

    /// The one of that name.
    pub(super) fn take(&self, name: &str) -> anyhow::Result<Kind> {
        let mut sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        let indices = 0..sockets.len();
        let called = |index: &usize| self.names.get(*index).is_some_and(|own| own == name);
        let Some(index) = indices.clone().find(called) else {
            let names = match indices.len() {
                0 => "none was inherited".to_owned(),
                _ => format!("there are {}", self.names.join(", ")),
            };
            bail!("no inherited socket is called `{name}`: {names}");
        };
        if let Ok(Some(listener)) = sockets.take_tcp_listener(index) {
            listener.set_nonblocking(true)?;
            return Ok(Kind::Tcp(TcpListener::from_std(listener)?));
        }
        let listener = sockets
            .take_unix_listener(index)
            .with_context(|| format!("the inherited socket `{name}` is neither TCP nor unix"))?;
        let Some(listener) = listener else {
            bail!("the inherited socket `{name}` is in use already");
        };
        listener.set_nonblocking(true)?;
        Ok(Kind::Unix(UnixListener::from_std(listener)?, None))
    }
}
