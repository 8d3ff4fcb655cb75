//! Sockets from the keeper: a server behind its walls can't make any.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::bail;
use nbdbox_config::config::{self, Owner};
use outside::{Answer, Ask, Keeper, Place, Socket};

use super::bind::OpenSocket;
use super::socket_file::SocketFile;

/// The file of a unix socket, which goes with the socket.
#[derive(Debug)]
pub(super) enum HeldFile {
    /// This process made it.
    Own(SocketFile),
    /// The keeper made it, and removes it when it's told to.
    Kept(KeptFile),
}

/// A file that the keeper made.
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
            // A keeper that has ended has removed it.
            let _ = keeper.ask(&Ask::Unlisten(self.socket.clone()));
        }
    }
}

/// A socket as the operator's words have it, by which the keeper knows it.
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

/// The same as a configuration has it; `None` for one of the command line's, or the admin listener's.
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

/// The socket, from the keeper. Blocks while the keeper opens it.
///
/// # Errors
/// The keeper's words why it can't be opened, or that the operator hasn't asked for it.
pub(super) fn ask(keeper: &Keeper, socket: Socket) -> anyhow::Result<OpenSocket> {
    let Some(open) = ask_if_any(keeper, socket)? else {
        bail!("the keeper knows of no such socket: has the configuration just changed?");
    };
    Ok(open)
}

/// The socket, from the keeper; `None` if the operator hasn't asked for it.
///
/// # Errors
/// As for [`ask`].
pub(super) fn ask_if_any(keeper: &Keeper, socket: Socket) -> anyhow::Result<Option<OpenSocket>> {
    let (name, place, descriptor) = match keeper.ask(&Ask::Listen(socket.clone())) {
        Ok((Answer::Socket { name, place }, Some(descriptor))) => (name, place, descriptor),
        Ok(other) => bail!("the keeper's answer doesn't fit: {other:?}"),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(None),
        // Its words are whole.
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
