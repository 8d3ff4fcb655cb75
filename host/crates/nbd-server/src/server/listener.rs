//! A socket that listens, of whatever kind, and who comes in by it.

use std::io;
use std::time::Duration;

use anyhow::Context as _;
use device::identity::{Client, Peer};
use nbdbox_config::config;
use outside::{Keeper, Place, Socket};
use rustix::io::Errno;
use rustix::net::sockopt;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_vsock::{VsockListener, VsockStream};

use super::bind::OpenSocket;
use super::inherited::Inherited;
use super::kept::{self, HeldFile};
use super::standard::{Only, Presence};
use super::{Address, socket_of};

/// A pause after the host could not accept: out of descriptors, most likely, so trying at once is of no use.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Bytes that a unix socket may hold for a client, of which the kernel makes twice as many: a batch of
/// replies in one piece. Restrains clients that don't read.
const SEND_BUFFER: usize = 512 << 10;

/// A socket that listens. The file of a unix socket that was made here is removed with it.
#[derive(Debug)]
pub struct Listener {
    /// What logs, and the rules of `clients`, call it.
    pub(super) name: String,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    /// With the host as it was given, if it was.
    Tcp(TcpListener, Option<String>),
    /// The file is dropped first: see there.
    Unix(Option<HeldFile>, UnixListener),
    Vsock(VsockListener),
    /// The one client that is there already, until it's let in.
    Only(Option<(Only, Presence)>),
}

/// A connection that came in.
#[derive(Debug)]
pub enum Stream {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a unix socket.
    Unix(UnixStream),
    /// From a virtual machine.
    Vsock(VsockStream),
    /// The only client of its server, and what tells of its end when it's dropped.
    Only(Box<Self>, Presence),
}

/// Why a client wasn't let in.
#[derive(Debug)]
pub enum AcceptFailure {
    /// Its connection failed before it was let in. Others don't wait for that.
    Clients(io::Error),
    /// The host had no descriptor for it, or no memory.
    Hosts(io::Error),
}

impl AcceptFailure {
    fn of(error: io::Error) -> Self {
        // accept(2): "Linux accept() passes already-pending network errors on the new socket as an error code from
        // accept()", and "Firewall rules forbid connection".
        match Errno::from_io_error(&error) {
            Some(
                Errno::CONNABORTED
                | Errno::HOSTDOWN
                | Errno::HOSTUNREACH
                | Errno::INTR
                | Errno::NETDOWN
                | Errno::NETUNREACH
                | Errno::NONET
                | Errno::NOPROTOOPT
                | Errno::OPNOTSUPP
                | Errno::PERM
                | Errno::PROTO,
            ) => Self::Clients(error),
            _ => Self::Hosts(error),
        }
    }
}

impl Listener {
    /// Listens on an address of the command line. Must be called in a runtime, and blocks while a host's name is looked
    /// up.
    ///
    /// # Errors
    /// Names the address and says what to do: in use, not allowed, no such folder.
    pub fn bind(address: &Address) -> anyhow::Result<Self> {
        Self::of(OpenSocket::bind(address)?, &address.to_string())
    }

    /// The listeners of the command line, from the keeper that has opened them. Must be called in a runtime.
    ///
    /// # Errors
    /// The keeper's words why one can't be opened.
    pub fn of_command_line(keeper: &Keeper) -> anyhow::Result<Vec<Self>> {
        let mut listeners = Vec::new();
        for number in 0.. {
            let Some(socket) = kept::ask_if_any(keeper, Socket::CommandLine(number))? else {
                break;
            };
            let mut listener = Self::of(socket, "")?;
            if listener.name.is_empty() {
                listener.name = listener.address()?.to_string();
            }
            listeners.push(listener);
        }
        Ok(listeners)
    }

    /// Opens the admin listener, by the keeper if there is one: a unix socket, for the operator alone unless its mode says
    /// otherwise, or a loopback address. Must be called in a runtime.
    ///
    /// # Errors
    /// As for [`bind`](Self::bind); others could reach the address.
    pub fn admin(address: &config::Address) -> anyhow::Result<Self> {
        let socket = match Keeper::get() {
            None => OpenSocket::admin(address)?,
            Some(keeper) => kept::ask(keeper, Socket::Admin(Box::new(socket_of(address))))?,
        };
        Self::of(socket, "admin")
    }

    /// Opens a listener of the configuration, by the keeper if there is one. Must be called in a runtime.
    ///
    /// # Errors
    /// As for [`bind`](Self::bind); there's no such inherited socket, user or group.
    pub fn open(listener: &config::Listener, inherited: &Inherited) -> anyhow::Result<Self> {
        let socket = match Keeper::get() {
            None => OpenSocket::open(&listener.address, inherited),
            Some(keeper) => kept::ask(keeper, socket_of(&listener.address)),
        };
        let socket = socket.with_context(|| listener.place.to_string())?;
        Self::of(socket, &listener.name)
    }

    /// A listener of this name. Must be called in a runtime.
    ///
    /// # Errors
    /// There are no descriptors.
    pub fn of(socket: OpenSocket, name: &str) -> anyhow::Result<Self> {
        let OpenSocket {
            file,
            descriptor,
            place,
            name: own,
        } = socket;
        let kind = match place {
            Place::Tcp(host) => {
                let listener = std::net::TcpListener::from(descriptor);
                Kind::Tcp(TcpListener::from_std(listener)?, host)
            }
            Place::Unix(_) => {
                let listener = std::os::unix::net::UnixListener::from(descriptor);
                Kind::Unix(file, UnixListener::from_std(listener)?)
            }
            Place::Vsock => Kind::Vsock(VsockListener::from(descriptor)),
        };
        let name = match name {
            "" => own.unwrap_or_default(),
            name => name.to_owned(),
        };
        Ok(Self { name, kind })
    }

    /// The same, called otherwise.
    #[must_use]
    pub fn called(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// What logs call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The address that clients can use, with the name of its host if one was given: a certificate may be for that
    /// alone.
    ///
    /// # Errors
    /// The kernel doesn't say.
    pub fn address(&self) -> io::Result<Address> {
        Ok(match &self.kind {
            Kind::Tcp(listener, host) => {
                let address = listener.local_addr()?;
                let host = host.clone();
                let host = host.unwrap_or_else(|| address.ip().to_string());
                Address::Tcp(host, address.port())
            }
            Kind::Unix(Some(file), _) => Address::Unix(file.path().to_owned()),
            Kind::Unix(None, listener) => {
                let address = listener.local_addr()?;
                Address::Unix(address.as_pathname().unwrap_or("".as_ref()).to_owned())
            }
            // Nobody else can come: there's no address.
            Kind::Only(_) => Address::Unix("".into()),
            Kind::Vsock(listener) => {
                let address = listener.local_addr()?;
                Address::Vsock {
                    cid: Some(address.cid()).filter(|cid| *cid != u32::MAX),
                    port: address.port(),
                }
            }
        })
    }

    /// Waits for the next client. A failure, which `failed` is told of, is followed by another attempt: after a pause
    /// if it's the host's. Dropping it loses no client.
    pub async fn accept(&mut self, mut failed: impl FnMut(&AcceptFailure)) -> (Stream, Client) {
        loop {
            let failure = match self.try_accept().await {
                Ok(accepted) => return accepted,
                Err(error) => AcceptFailure::of(error),
            };
            failed(&failure);
            if let AcceptFailure::Hosts(_) = failure {
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }

    async fn try_accept(&mut self) -> io::Result<(Stream, Client)> {
        let (stream, peer) = match &mut self.kind {
            Kind::Tcp(listener, _) => {
                let (stream, peer) = listener.accept().await?;
                // "It is RECOMMENDED that ... set TCP_NODELAY": replies are gathered here anyway. A socket that
                // can't is found to have failed when it's used.
                let _ = stream.set_nodelay(true);
                (Stream::Tcp(stream), Peer::Tcp(peer.ip()))
            }
            Kind::Unix(_, listener) => {
                let (stream, _) = listener.accept().await?;
                // The default takes no more than 50 replies of 4 KiB. If the kernel has less to give,
                // so be it.
                let _ = sockopt::set_socket_send_buffer_size(&stream, SEND_BUFFER);
                let user = stream.peer_cred().ok().map(|credentials| credentials.uid());
                (Stream::Unix(stream), Peer::Unix(user))
            }
            Kind::Vsock(listener) => {
                let accepted = std::future::poll_fn(|cx| listener.poll_accept(cx));
                let (stream, peer) = accepted.await?;
                (Stream::Vsock(stream), Peer::Vsock(peer.cid()))
            }
            Kind::Only(only) => match only.take() {
                Some((only, presence)) => {
                    (Stream::Only(Box::new(only.stream), presence), only.peer)
                }
                None => std::future::pending().await,
            },
        };
        let client = Client {
            listener: self.name.clone(),
            peer,
            certificate: None,
        };
        Ok((stream, client))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_host_lacks_is_its_failure() {
        let of = |errno: Errno| AcceptFailure::of(errno.into());
        for errno in [
            Errno::MFILE,
            Errno::NFILE,
            Errno::NOBUFS,
            Errno::NOMEM,
            Errno::INVAL,
        ] {
            assert!(matches!(of(errno), AcceptFailure::Hosts(_)), "{errno}");
        }
        for errno in [Errno::CONNABORTED, Errno::PERM, Errno::NETDOWN] {
            assert!(matches!(of(errno), AcceptFailure::Clients(_)), "{errno}");
        }
    }
}
