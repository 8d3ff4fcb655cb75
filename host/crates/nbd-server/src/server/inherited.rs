//! Sockets that systemd, or whoever else started us, has opened already (`sd_listen_fds(3)`).

use std::env;
use std::os::fd::AsFd;
use std::process;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, bail, ensure};
use listenfd::ListenFd;
use outside::Place;
use rustix::net::sockopt;

use super::bind::OpenSocket;

/// Sockets that are taken. Restrains a number in the environment that can't be meant.
const MOST: usize = 1024;

/// "If no name was assigned to the socket" (sd_listen_fds(3)).
const NAMELESS: &str = "unknown";

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
    /// Those that are meant for this process, with the names that `FileDescriptorName=` gave them. None if the
    /// variables are missing, or are another process's.
    ///
    /// # Errors
    /// There's no such number of sockets.
    pub fn from_environment() -> anyhow::Result<Self> {
        let pid = env::var("LISTEN_PID").ok();
        let ours = pid.and_then(|pid| pid.parse().ok()) == Some(process::id());
        if !ours {
            let sockets = Mutex::new(ListenFd::empty());
            let names = Vec::new();
            return Ok(Self { sockets, names });
        }
        if let Some(count) = env::var_os("LISTEN_FDS") {
            let count = count.to_string_lossy();
            let fits = count.parse::<usize>().is_ok_and(|count| count <= MOST);
            ensure!(
                fits,
                "LISTEN_FDS={count}: a number of sockets up to {MOST} is expected (sd_listen_fds(3))"
            );
        }
        let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
        Ok(Self {
            sockets: Mutex::new(ListenFd::from_env()),
            names: names.split(':').map(str::to_owned).collect(),
        })
    }

    /// All of them, each called as its name says.
    ///
    /// # Errors
    /// One can't be listened on.
    pub fn take_all(&self) -> anyhow::Result<Vec<OpenSocket>> {
        let mut sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        let indices = 0..sockets.len();
        let all = indices.map(|index| {
            let name = self.names.get(index).map_or("", |name| name);
            let shown = format!("the inherited socket {index} `{name}`");
            let mut socket = take(&mut sockets, index, &shown)?;
            socket.name = Some(name.to_owned()).filter(|name| !name.is_empty() && name != NAMELESS);
            Ok(socket)
        });
        all.collect()
    }

    /// The one of that name.
    pub(super) fn take(&self, name: &str) -> anyhow::Result<OpenSocket> {
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
        take(
            &mut sockets,
            index,
            &format!("the inherited socket `{name}`"),
        )
    }
}

fn take(sockets: &mut ListenFd, index: usize, shown: &str) -> anyhow::Result<OpenSocket> {
    if let Ok(Some(listener)) = sockets.take_tcp_listener(index) {
        ensure_listens(&listener, shown)?;
        listener.set_nonblocking(true)?;
        return Ok(OpenSocket::of(listener.into(), Place::Tcp(None)));
    }
    let listener = sockets
        .take_unix_listener(index)
        .with_context(|| format!("{shown} is neither TCP nor unix"))?;
    let Some(listener) = listener else {
        bail!("{shown} is in use already");
    };
    ensure_listens(&listener, shown)?;
    listener.set_nonblocking(true)?;
    Ok(OpenSocket::of(listener.into(), Place::Unix(None)))
}

/// One that is connected already, as `Accept=yes` hands it over, would fail with each client.
fn ensure_listens(socket: impl AsFd, shown: &str) -> anyhow::Result<()> {
    ensure!(
        sockopt::socket_acceptconn(&socket).unwrap_or(true),
        "{shown} doesn't listen: with systemd, leave out `Accept=yes`; for one client on a socket there is --single"
    );
    Ok(())
}
