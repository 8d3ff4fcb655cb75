//! The sockets that the keeper has opened, and the servers that listen on them.

use std::collections::{HashMap, HashSet};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nbd_server::{Address, Inherited, OpenSocket, address_of};
use nbdbox_config::config::Part;
use outside::{Answer, Failure, Socket};
use tempfile::TempDir;

/// Opens the sockets of the command line, in its order. Also returns the folder of a private socket, which must be
/// dropped after them.
pub(crate) type OpenSockets =
    Box<dyn FnOnce(&Inherited) -> anyhow::Result<(Vec<OpenSocket>, Option<TempDir>)> + Send>;

/// The open sockets.
pub(crate) struct Opened(Mutex<Sockets>);

struct Sockets {
    open: HashMap<Socket, Open>,
    /// Opens the sockets of the command line; `None` once it has.
    command_line: Option<OpenSockets>,
    /// The folder of a private socket. Dropped after the socket.
    private: Option<TempDir>,
}

struct Open {
    socket: OpenSocket,
    /// The servers that listen on the socket. A server that died still counts: its clients queue until the next process
    /// accepts them.
    users: HashSet<Part>,
}

impl Opened {
    pub(super) fn new(command_line: OpenSockets) -> Self {
        Self(Mutex::new(Sockets {
            open: HashMap::new(),
            command_line: Some(command_line),
            private: None,
        }))
    }

    /// A copy of a socket for a server. Opens the socket if it isn't open. Blocks as [`OpenSocket::bind`] does.
    ///
    /// # Errors
    /// The socket can't be opened; EPERM if the command line has no such socket.
    pub(super) fn take(
        &self,
        part: &Part,
        socket: &Socket,
        inherited: &Inherited,
    ) -> Result<(Answer, OwnedFd), Failure> {
        let failed = |error: anyhow::Error| Failure::new(&format!("{error:#}"));
        let mut sockets = self.lock();
        if matches!(socket, Socket::CommandLine(_))
            && let Some(open) = sockets.command_line.take()
        {
            let (made, private) = open(inherited).map_err(failed)?;
            let numbered = (0..).map(Socket::CommandLine).zip(made);
            sockets
                .open
                .extend(numbered.map(|(number, socket)| (number, Open::new(socket))));
            sockets.private = private;
        }
        if !sockets.open.contains_key(socket) {
            let made = match socket {
                // The command line has no more sockets.
                Socket::CommandLine(_) => return Err(Failure::denied()),
                Socket::Admin(inner) => {
                    address_of(inner).map(|address| OpenSocket::admin(&address))
                }
                other => address_of(other).map(|address| OpenSocket::open(&address, inherited)),
            };
            let made =
                made.unwrap_or_else(|| anyhow::bail!("the configuration has no such socket"));
            let made = Open::new(made.map_err(failed)?);
            sockets.open.insert(socket.clone(), made);
        }
        let Some(open) = sockets.open.get_mut(socket) else {
            return Err(Failure::denied());
        };
        open.users.insert(part.clone());
        let answer = Answer::Socket {
            name: open.socket.name().map(str::to_owned),
            place: open.socket.place().clone(),
        };
        Ok((answer, open.socket.as_fd().try_clone_to_owned()?))
    }

    /// Removes a server from a socket. Closes the socket, and removes its file, if no other server listens on it.
    pub(super) fn give_up(&self, part: &Part, socket: &Socket) {
        self.lock().give_up(part, |other| other == socket);
    }

    /// As [`give_up`](Self::give_up), for all sockets of clients: the server drains. Its admin socket stays until its
    /// end.
    pub(super) fn stop(&self, part: &Part) {
        let mut sockets = self.lock();
        sockets.give_up(part, |socket| !matches!(socket, Socket::Admin(_)));
        // No server may open them again.
        sockets.command_line = None;
    }

    /// As [`give_up`](Self::give_up), for all sockets: the server has ended for good.
    pub(super) fn leave(&self, part: &Part) {
        self.lock().give_up(part, |_| true);
    }

    /// The address of a socket; `None` if it isn't open.
    pub(crate) fn address(&self, socket: &Socket) -> Option<Address> {
        self.lock().open.get(socket)?.socket.address().ok()
    }

    fn lock(&self) -> MutexGuard<'_, Sockets> {
        // No operation leaves it half-done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sockets {
    fn give_up(&mut self, part: &Part, which: impl Fn(&Socket) -> bool) {
        self.open.retain(|socket, open| {
            let used = !which(socket) || !open.users.remove(part);
            used || !open.users.is_empty()
        });
    }
}

impl Open {
    fn new(socket: OpenSocket) -> Self {
        Self {
            socket,
            users: HashSet::new(),
        }
    }
}
