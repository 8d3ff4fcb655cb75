//! Opens a listening socket at an address.

use std::io;
use std::net::{SocketAddr, TcpListener as StdTcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::Path;

use anyhow::{Context as _, anyhow, bail};
use nbdbox_config::config::{self, Owner};
use outside::Place;
use rustix::fs::{Gid, Uid};
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use tokio_vsock::{VMADDR_CID_ANY, VsockAddr};

use super::Address;
use super::inherited::Inherited;
use super::kept::HeldFile;
use super::socket_file::{Lock, SocketFile};

/// The default mode of the admin listener's unix socket: only the operator's account can connect.
const ADMIN_MODE: u32 = 0o600;

/// Connections that the kernel queues until the server accepts them.
const BACKLOG: i32 = 1024;

/// A listening socket that isn't registered with a runtime yet. If nbdbox made the file of a unix socket, dropping the
/// socket removes it.
#[derive(Debug)]
pub struct OpenSocket {
    /// Dropped before the socket, as [`SocketFile`] requires.
    pub(super) file: Option<HeldFile>,
    pub(super) descriptor: OwnedFd,
    pub(super) place: Place,
    /// The name in logs and in the rules of `clients`, if it is known.
    pub(super) name: Option<String>,
}

impl OpenSocket {
    /// Listens on an address of the command line. Blocks while it resolves a host name, and up to 2 s while another
    /// server holds the lock of a unix socket.
    ///
    /// # Errors
    /// The address is in use, forbidden, or in no folder that exists. The error names it and says what to do.
    pub fn bind(address: &Address) -> anyhow::Result<Self> {
        let socket = match address {
            Address::Tcp(host, port) => {
                let listener = StdTcpListener::bind((host.as_str(), *port));
                let listener = listener.map_err(|error| tcp_failed(host, *port, &error))?;
                listener.set_nonblocking(true)?;
                Self::of(listener.into(), Place::Tcp(Some(host.clone())))
            }
            Address::Unix(path) => unix(path, None, None)?,
            Address::Vsock { cid, port } => vsock(*cid, *port)?,
        };
        Ok(socket)
    }

    /// Opens the socket of the admin listener: a unix socket, of mode 0600 unless the operator configured another mode,
    /// or a loopback address. Blocks as [`bind`](Self::bind) does.
    ///
    /// # Errors
    /// As for [`bind`](Self::bind); or other machines could reach the address.
    pub fn admin(address: &config::Address) -> anyhow::Result<Self> {
        let socket = match address {
            config::Address::Tcp(address) if address.ip().is_loopback() => tcp(*address),
            config::Address::Unix { path, mode, owner } => {
                unix(path, mode.or(Some(ADMIN_MODE)), owner.as_ref())
            }
            _ => {
                bail!(
                    "the admin listener can't be {address}, because everybody who can connect sees all tenants: choose \
                     a unix socket or a loopback address"
                )
            }
        };
        socket.context("the admin listener")
    }

    /// Opens the socket of a listener of the configuration. Blocks as [`bind`](Self::bind) does.
    ///
    /// # Errors
    /// As for [`bind`](Self::bind); or there is no such inherited socket, user or group.
    pub fn open(address: &config::Address, inherited: &Inherited) -> anyhow::Result<Self> {
        match address {
            config::Address::Tcp(address) => tcp(*address),
            config::Address::Unix { path, mode, owner } => unix(path, *mode, owner.as_ref()),
            config::Address::Vsock { cid, port } => vsock(*cid, *port),
            config::Address::Inherited(name) => inherited.take(name),
        }
    }

    pub(super) fn of(descriptor: OwnedFd, place: Place) -> Self {
        Self {
            file: None,
            descriptor,
            place,
            name: None,
        }
    }

    /// The address that clients can use, with the host name that the operator gave, if any.
    ///
    /// # Errors
    /// The kernel can't return the address, or the process has no descriptor left.
    pub fn address(&self) -> io::Result<Address> {
        let socket = self.descriptor.try_clone()?;
        Ok(match &self.place {
            Place::Tcp(host) => {
                let address = StdTcpListener::from(socket).local_addr()?;
                let host = host.clone();
                Address::Tcp(
                    host.unwrap_or_else(|| address.ip().to_string()),
                    address.port(),
                )
            }
            Place::Unix(Some(path)) => Address::Unix(path.to_path()),
            Place::Unix(None) => {
                let address = StdUnixListener::from(socket).local_addr()?;
                Address::Unix(address.as_pathname().unwrap_or(Path::new("")).to_owned())
            }
            Place::Vsock => {
                let address = vsock::VsockListener::from(socket).local_addr()?;
                Address::Vsock {
                    cid: Some(address.cid()).filter(|cid| *cid != u32::MAX),
                    port: address.port(),
                }
            }
        })
    }

    /// The socket's kind, with its host name or path.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The name that the socket's opener gave it, if any.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }
}

impl AsFd for OpenSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// Listens on an IP address. An IPv6 socket accepts no IPv4 clients, so listeners of both can have the same port.
fn tcp(address: SocketAddr) -> anyhow::Result<OpenSocket> {
    let listen = || -> io::Result<OwnedFd> {
        let family = match address {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let socket = socket(family)?;
        // Connections of a server that has ended don't keep the next one from its port.
        sockopt::set_socket_reuseaddr(&socket, true)?;
        if address.is_ipv6() {
            sockopt::set_ipv6_v6only(&socket, true)?;
        }
        rustix::net::bind(&socket, &address)?;
        rustix::net::listen(&socket, BACKLOG)?;
        Ok(socket)
    };
    let listener = listen().with_context(|| format!("can't listen on {address}"))?;
    Ok(OpenSocket::of(listener, Place::Tcp(None)))
}

fn socket(family: AddressFamily) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(rustix::net::socket_with(
        family,
        SocketType::STREAM,
        flags,
        None,
    )?)
}

/// Listens on a unix socket. Sets owner and mode before any client can connect.
fn unix(path: &Path, mode: Option<u32>, owner: Option<&Owner>) -> anyhow::Result<OpenSocket> {
    let named = || format!("can't listen on {}", path.display());
    let socket = socket(AddressFamily::UNIX).with_context(named)?;
    // Held until the socket listens. Before that, another server would take its file for one that a dead server left.
    let lock = Lock::take(path).with_context(named)?;
    let file = SocketFile::bind(&socket, path, &lock).with_context(named)?;
    if let Some(owner) = owner {
        let (user, group) = ids(owner).with_context(named)?;
        rustix::fs::chown(path, user, group).with_context(named)?;
    }
    if let Some(mode) = mode {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(path, permissions).with_context(named)?;
    }
    rustix::net::listen(&socket, BACKLOG).with_context(named)?;
    drop(lock);
    let place = Place::Unix(Some(path.into()));
    Ok(OpenSocket {
        file: Some(HeldFile::Own(file)),
        ..OpenSocket::of(socket, place)
    })
}

/// The numbers of a user and a group, which `owner` has as numbers or names.
fn ids(owner: &Owner) -> anyhow::Result<(Option<Uid>, Option<Gid>)> {
    let user = owner.user.as_ref().map(|name| match name.parse() {
        Ok(number) => Ok(Uid::from_raw(number)),
        Err(_) => match nix::unistd::User::from_name(name)? {
            Some(user) => Ok(Uid::from_raw(user.uid.as_raw())),
            None => Err(anyhow!("there is no user `{name}`")),
        },
    });
    let group = owner.group.as_ref().map(|name| match name.parse() {
        Ok(number) => Ok(Gid::from_raw(number)),
        Err(_) => match nix::unistd::Group::from_name(name)? {
            Some(group) => Ok(Gid::from_raw(group.gid.as_raw())),
            None => Err(anyhow!("there is no group `{name}`")),
        },
    });
    Ok((user.transpose()?, group.transpose()?))
}

fn vsock(cid: Option<u32>, port: u32) -> anyhow::Result<OpenSocket> {
    let address = VsockAddr::new(cid.unwrap_or(VMADDR_CID_ANY), port);
    let listen = || {
        let listener = vsock::VsockListener::bind(&address)?;
        listener.set_nonblocking(true)?;
        io::Result::Ok(listener)
    };
    let listener = listen().with_context(|| format!("can't listen on vsock port {port}"))?;
    Ok(OpenSocket::of(listener.into(), Place::Vsock))
}

fn tcp_failed(host: &str, port: u16, error: &io::Error) -> anyhow::Error {
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => "; choose another with --port, or --port 0 for any",
        _ => "",
    };
    anyhow!("can't listen on {host} port {port}: {error}{advice}")
}
