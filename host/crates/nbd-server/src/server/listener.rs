//! A listening socket of any kind, and the clients that it accepts.

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

/// The pause after the host couldn't accept a client. Most likely it has no descriptors left, so a retry at once would
/// fail too.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Bytes that a unix socket may hold for a client; the kernel doubles the number. Less, and a batch of replies doesn't
/// fit into the socket at once. Restrains clients that don't read.
const SEND_BUFFER: usize = 512 << 10;

/// A listening socket with a name. If nbdbox made the file of a unix socket, dropping the listener removes it.
#[derive(Debug)]
pub struct Listener {
    /// The name in logs and in the rules of `clients`.
    pub(super) name: String,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    /// With the host name that the operator gave, if any.
    Tcp(TcpListener, Option<String>),
    /// The file is dropped before the socket, as [`SocketFile`](super::socket_file::SocketFile) requires.
    Unix(Option<HeldFile>, UnixListener),
    Vsock(VsockListener),
    /// The only client, until the server accepts it.
    Only(Option<(Only, Presence)>),
}

/// A client's connection.
#[derive(Debug)]
pub enum Stream {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a unix socket.
    Unix(UnixStream),
    /// From a virtual machine.
    Vsock(VsockStream),
    /// The connection of a server's only client. Dropping the second field ends
    /// [`OnlyClient::left`](super::OnlyClient::left).
    Only(Box<Self>, Presence),
}

/// Why the server couldn't accept a client.
#[derive(Debug)]
pub enum AcceptFailure {
    /// The client's connection failed. The server accepts the next client at once.
    Clients(io::Error),
    /// The host lacked something, such as a descriptor or memory. The server pauses before the next attempt.
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
    /// Listens on an address of the command line. Must be called in a runtime. Blocks while it resolves a host name or
    /// waits for the lock of a unix socket.
    ///
    /// # Errors
    /// The address is in use, forbidden, or in no folder that exists. The error names it and says what to do.
    pub fn bind(address: &Address) -> anyhow::Result<Self> {
        Self::of(OpenSocket::bind(address)?, &address.to_string())
    }

    /// The listeners of the command line, whose sockets the keeper has opened. Must be called in a runtime. Blocks
    /// while the keeper answers.
    ///
    /// # Errors
    /// The keeper can't open a socket.
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

    /// Opens the admin listener, through the keeper if there is one: a unix socket, of mode 0600 unless the operator
    /// configured another mode, or a loopback address. Must be called in a runtime. Blocks as [`bind`](Self::bind)
    /// does, or while the keeper answers.
    ///
    /// # Errors
    /// As for [`bind`](Self::bind); or other machines could reach the address.
    pub fn admin(address: &config::Address) -> anyhow::Result<Self> {
        let socket = match Keeper::get() {
            None => OpenSocket::admin(address)?,
            Some(keeper) => kept::ask(keeper, Socket::Admin(Box::new(socket_of(address))))?,
        };
        Self::of(socket, "admin")
    }

    /// Opens a listener of the configuration, through the keeper if there is one. Must be called in a runtime. Blocks
    /// as [`admin`](Self::admin) does.
    ///
    /// # Errors
    /// As for [`bind`](Self::bind); or there is no such inherited socket, user or group.
    pub fn open(listener: &config::Listener, inherited: &Inherited) -> anyhow::Result<Self> {
        let socket = match Keeper::get() {
            None => OpenSocket::open(&listener.address, inherited),
            Some(keeper) => kept::ask(keeper, socket_of(&listener.address)),
        };
        let socket = socket.with_context(|| listener.place.to_string())?;
        Self::of(socket, &listener.name)
    }

    /// A listener for an open socket, of this name or, if `name` is empty, of the socket's own. Must be called in a
    /// runtime.
    ///
    /// # Errors
    /// The runtime can't register the socket.
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

    /// The same listener with another name.
    #[must_use]
    pub fn called(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// The listener's name in logs and in the rules of `clients`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The address that clients can use. It has the host name that the operator gave, if any, because the server's
    /// certificate may be valid only for that name.
    ///
    /// # Errors
    /// The kernel can't return the address.
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
            // No other client can connect, so there is no address.
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

    /// Waits for the next client. After a failure it calls `failed` and tries again, with a pause if the host is at
    /// fault. Dropping the future loses no client.
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
                // "It is RECOMMENDED that ... set TCP_NODELAY": the server gathers replies itself. If this fails, the
                // socket has failed, and its next use reports that.
                //= proto.md#protocol-phases
                //# both the client and server SHOULD disable Nagle's algorithm (that is, use `setsockopt` to
                //# set the `TCP_NODELAY` option to non-zero)
                let _ = stream.set_nodelay(true);
                (Stream::Tcp(stream), Peer::Tcp(peer.ip()))
            }
            Kind::Unix(_, listener) => {
                let (stream, _) = listener.accept().await?;
                // The default holds only 50 replies of 4 KiB. A smaller buffer, if the kernel grants no more, is
                // slower but works.
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
    fn a_failure_is_the_hosts_unless_it_is_the_clients() {
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
