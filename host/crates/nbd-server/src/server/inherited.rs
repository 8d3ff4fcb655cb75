//! Sockets that systemd, or another program that started the server, has opened (`sd_listen_fds(3)`).

use std::env;
use std::os::fd::AsFd;
use std::process;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, bail, ensure};
use listenfd::ListenFd;
use outside::Place;
use rustix::net::sockopt;

use super::bind::OpenSocket;

/// The most inherited sockets. Restrains an absurd number in the environment.
const MOST: usize = 1024;

/// "If no name was assigned to the socket" (sd_listen_fds(3)).
const NAMELESS: &str = "unknown";

/// The inherited sockets. Each can be taken once.
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
    /// The sockets for this process, with their names from `FileDescriptorName=`. There are none if the environment
    /// variables are missing or name another process.
    ///
    /// # Errors
    /// `LISTEN_FDS` isn't a number from 0 to 1024.
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
                "LISTEN_FDS={count}: not a number of sockets from 0 to {MOST} (sd_listen_fds(3))"
            );
        }
        let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
        Ok(Self {
            sockets: Mutex::new(ListenFd::from_env()),
            names: names.split(':').map(str::to_owned).collect(),
        })
    }

    /// Takes all sockets, each with its name, if it has one.
    ///
    /// # Errors
    /// A socket was already taken, or isn't a TCP or unix socket that listens. The error names it.
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

    /// Takes the first socket of that name.
    ///
    /// # Errors
    /// As for [`take_all`](Self::take_all); or there is no such socket.
    pub(super) fn take(&self, name: &str) -> anyhow::Result<OpenSocket> {
        let mut sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        let indices = 0..sockets.len();
        let called = |index: &usize| self.names.get(*index).is_some_and(|own| own == name);
        let Some(index) = indices.clone().find(called) else {
            let names = match indices.len() {
                0 => "the server inherited none".to_owned(),
                _ => format!("the server inherited {}", self.names.join(", ")),
            };
            bail!("no inherited socket has the name `{name}`: {names}");
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
        bail!("another listener already uses {shown}");
    };
    ensure_listens(&listener, shown)?;
    listener.set_nonblocking(true)?;
    Ok(OpenSocket::of(listener.into(), Place::Unix(None)))
}

/// Checks that a socket listens. A connected one, as `Accept=yes` passes it, would fail for each client.
fn ensure_listens(socket: impl AsFd, shown: &str) -> anyhow::Result<()> {
    ensure!(
        sockopt::socket_acceptconn(&socket).unwrap_or(true),
        "{shown} doesn't listen: with systemd, leave out `Accept=yes`; for one client on a socket there is --single"
    );
    Ok(())
}
