//! Sockets from the keeper, because a server behind its walls can't make any.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::bail;
use nbdbox_config::config::{self, Owner};
use outside::{Answer, Keeper, Place, Request, Socket};

use super::bind::OpenSocket;
use super::socket_file::SocketFile;

/// The file of a unix socket, which is removed when this is dropped.
#[derive(Debug)]
pub(super) enum HeldFile {
    /// This process made the file, and removes it.
    Own(SocketFile),
    /// The keeper made the file, and removes it at this process's request.
    Kept(KeptFile),
}

/// A unix socket's file that the keeper made. Dropping it blocks while the keeper removes the file.
#[derive(Debug)]
pub(super) struct KeptFile {
    path: PathBuf,
    socket: Socket,
}

impl HeldFile {
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Own(file) => file.path(),
            Self::Kept(file) => &file.path,
        }
    }
}

impl Drop for KeptFile {
    fn drop(&mut self) {
        if let Some(keeper) = Keeper::get() {
            // A keeper that has ended has removed the file.
            let _ = keeper.ask(&Request::Unlisten(self.socket.clone()));
        }
    }
}

/// The description of a configured address by which the keeper knows the socket.
#[must_use]
pub fn socket_of(address: &config::Address) -> Socket {
    match address {
        config::Address::Tcp(address) => Socket::Tcp(*address),
        config::Address::Unix { path, mode, owner } => Socket::Unix {
            path: path.as_path().into(),
            mode: *mode,
            owner: owner
                .as_ref()
                .map(|Owner { user, group }| (user.clone(), group.clone())),
        },
        config::Address::Vsock { cid, port } => Socket::Vsock {
            cid: *cid,
            port: *port,
        },
        config::Address::Inherited(name) => Socket::Inherited(name.clone()),
    }
}

/// The configured address of a socket; `None` for a socket of the command line or of the admin listener.
#[must_use]
pub fn address_of(socket: &Socket) -> Option<config::Address> {
    Some(match socket {
        Socket::Tcp(address) => config::Address::Tcp(*address),
        Socket::Unix { path, mode, owner } => config::Address::Unix {
            path: path.to_path(),
            mode: *mode,
            owner: owner.clone().map(|(user, group)| Owner { user, group }),
        },
        Socket::Vsock { cid, port } => config::Address::Vsock {
            cid: *cid,
            port: *port,
        },
        Socket::Inherited(name) => config::Address::Inherited(name.clone()),
        Socket::CommandLine(_) | Socket::Admin(_) => return None,
    })
}

/// Requests a socket from the keeper. Blocks while the keeper opens it.
///
/// # Errors
/// The keeper can't open the socket, or the operator hasn't configured it.
pub(super) fn ask(keeper: &Keeper, socket: Socket) -> anyhow::Result<OpenSocket> {
    let Some(open) = ask_if_any(keeper, socket)? else {
        bail!(
            "the keeper's configuration has no such socket; it may have changed just now: try again"
        );
    };
    Ok(open)
}

/// Requests a socket from the keeper; `None` if the operator hasn't configured it. Blocks as [`ask`] does.
///
/// # Errors
/// The keeper can't open the socket.
pub(super) fn ask_if_any(keeper: &Keeper, socket: Socket) -> anyhow::Result<Option<OpenSocket>> {
    let (name, place, descriptor) = match keeper.ask(&Request::Listen(socket.clone())) {
        Ok((Answer::Socket { name, place }, Some(descriptor))) => (name, place, descriptor),
        Ok(other) => bail!("the keeper sent an unexpected answer: {other:?}"),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(None),
        // The keeper's text needs no context.
        Err(error) => bail!("{error}"),
    };
    let path = match &place {
        Place::Unix(Some(path)) => Some(path.to_path()),
        Place::Unix(None) | Place::Tcp(_) | Place::Vsock => None,
    };
    Ok(Some(OpenSocket {
        file: path.map(|path| HeldFile::Kept(KeptFile { path, socket })),
        name,
        ..OpenSocket::of(descriptor, place)
    }))
}
