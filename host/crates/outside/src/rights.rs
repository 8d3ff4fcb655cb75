//! The rights of a server: the requests that the operator's command line and configuration allow, and no other.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::io::{self, Seek as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{MemfdFlags, memfd_create};

use crate::here;
use crate::lock_holders;
use crate::message::{Answer, Failure, Request, Socket};

/// A right to a path: the request that it allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Right {
    /// [`Request::Read`].
    Read,
    /// [`Request::Code`].
    Code,
    /// [`Request::Disk`] without `writable`.
    ReadDisk,
    /// [`Request::Disk`] with `writable`, and without.
    WriteDisk,
    /// [`Request::Append`].
    Append,
    /// [`Request::Look`]. Every other right to a path includes this one.
    Look,
    /// [`Request::List`].
    List,
}

/// The rights of a server. The default allows nothing.
///
/// A right holds for a path as the operator spelled it: no method resolves links or `..`.
#[derive(Clone, Debug, Default)]
pub struct Rights {
    paths: HashMap<PathBuf, HashSet<Right>>,
    /// Rights to the files directly in a folder: to all of them, or to those with an extension.
    folders: Vec<(PathBuf, Option<&'static str>, HashSet<Right>)>,
    /// The bytes that a server gets in place of a file that the keeper has read itself.
    provided: HashMap<PathBuf, Arc<[u8]>>,
    sockets: HashSet<Socket>,
    pipes: HashSet<u32>,
    input: bool,
    visits: bool,
}

impl Rights {
    /// Adds a right to a path.
    pub fn allow(&mut self, path: &Path, right: Right) {
        self.paths.entry(path.to_owned()).or_default().insert(right);
    }

    /// Adds rights to each path directly in a folder, or only to those with the extension `ending` (without the dot).
    pub fn allow_in(&mut self, folder: &Path, ending: Option<&'static str>, rights: &[Right]) {
        let rights = rights.iter().copied().collect();
        self.folders.push((folder.to_owned(), ending, rights));
    }

    /// Adds the right to read a path. The server gets these bytes, even if the file changes later.
    pub fn provide(&mut self, path: &Path, bytes: &[u8]) {
        self.provided.insert(path.to_owned(), bytes.into());
    }

    /// Adds the right to listen on a socket.
    pub fn allow_socket(&mut self, socket: Socket) {
        self.sockets.insert(socket);
    }

    /// Adds the right to a pipe that the keeper inherited as this descriptor.
    pub fn allow_pipe(&mut self, descriptor: u32) {
        self.pipes.insert(descriptor);
    }

    /// Adds the right to the keeper's standard input.
    pub fn allow_input(&mut self) {
        self.input = true;
    }

    /// Adds the right to connect to the admin pages of the keeper's other servers.
    pub fn allow_visits(&mut self) {
        self.visits = true;
    }

    /// Whether the server may listen on a socket.
    #[must_use]
    pub fn has_socket(&self, socket: &Socket) -> bool {
        self.sockets.contains(socket)
    }

    /// The union of both. Where both provide bytes for a path, those of `self` stay.
    #[must_use]
    pub fn with(mut self, other: &Self) -> Self {
        for (path, rights) in &other.paths {
            self.paths.entry(path.clone()).or_default().extend(rights);
        }
        self.folders.extend(other.folders.iter().cloned());
        for (path, bytes) in &other.provided {
            let bytes = || Arc::clone(bytes);
            self.provided.entry(path.clone()).or_insert_with(bytes);
        }
        self.sockets.extend(other.sockets.iter().cloned());
        self.pipes.extend(&other.pipes);
        self.input |= other.input;
        self.visits |= other.visits;
        self
    }

    /// Whether the rights allow a request.
    #[must_use]
    pub fn permit(&self, request: &Request) -> bool {
        match request {
            Request::Read(path) => {
                let path = path.to_path();
                self.provided.contains_key(&path) || self.has(&path, Right::Read)
            }
            Request::Code { path, .. } => self.has(&path.to_path(), Right::Code),
            Request::Disk {
                path,
                writable: true,
            } => self.has(&path.to_path(), Right::WriteDisk),
            Request::Disk {
                path,
                writable: false,
            } => {
                let path = path.to_path();
                self.has(&path, Right::ReadDisk) || self.has(&path, Right::WriteDisk)
            }
            Request::Pipe(descriptor) => self.pipes.contains(descriptor),
            Request::Append { path, .. } => self.has(&path.to_path(), Right::Append),
            Request::Look(path) => self.may_look(&path.to_path()),
            Request::List { path, .. } => self.has(&path.to_path(), Right::List),
            Request::Listen(socket) => self.has_socket(socket),
            Request::Input => self.input,
            Request::Visit(_) => self.visits,
            // These name no path, give up what the server already has, or report on the server itself.
            Request::LockHolders { .. }
            | Request::Unlisten(_)
            | Request::Reached(_)
            | Request::Cancel(_) => true,
        }
    }

    fn has(&self, path: &Path, right: Right) -> bool {
        let named = self.paths.get(path);
        named.is_some_and(|rights| rights.contains(&right))
            || self.in_folder(path).any(|rights| rights.contains(&right))
    }

    fn may_look(&self, path: &Path) -> bool {
        self.paths.contains_key(path)
            || self.provided.contains_key(path)
            || self.in_folder(path).next().is_some()
            || self.folders.iter().any(|(folder, ..)| folder == path)
    }

    /// The rights that a path has because its parent is one of the folders. A path that ends in `..` has none.
    fn in_folder(&self, path: &Path) -> impl Iterator<Item = &HashSet<Right>> {
        let (parent, name, ending) = (path.parent(), path.file_name(), path.extension());
        let folders = self.folders.iter().filter(move |(folder, wanted, _)| {
            name.is_some()
                && parent == Some(folder)
                && wanted.is_none_or(|wanted| ending == Some(OsStr::new(wanted)))
        });
        folders.map(|(.., rights)| rights)
    }

    /// Does a request for a file, a folder or the holders of a lock. Blocks while the disk does.
    ///
    /// # Errors
    /// EPERM if the rights don't allow the request, or if it's one that the keeper itself must answer; otherwise the
    /// operation's error.
    pub fn perform(&self, request: &Request) -> Result<(Answer, Option<OwnedFd>), Failure> {
        if !self.permit(request) {
            return Err(Failure::denied());
        }
        let file = |file: std::fs::File| (Answer::File, Some(file.into()));
        Ok(match request {
            Request::Read(path) => match self.provided.get(&path.to_path()) {
                Some(bytes) => (Answer::File, Some(in_memory(bytes)?)),
                None => file(here::read(&path.to_path())?),
            },
            Request::Disk { path, writable } => file(here::disk(&path.to_path(), *writable)?),
            Request::Append { path, anew } => file(here::append(&path.to_path(), *anew)?),
            Request::Pipe(descriptor) => (Answer::File, Some(here::pipe(*descriptor)?)),
            Request::Look(path) => (Answer::Seen(here::look(&path.to_path())?), None),
            Request::List { path, most } => {
                let most = usize::try_from(*most).unwrap_or(usize::MAX);
                let entries = here::list(&path.to_path(), most)?;
                (Answer::Entries, Some(in_memory(&here::pack(&entries))?))
            }
            Request::LockHolders { inode, bytes } => {
                (Answer::Text(lock_holders::of(*inode, bytes)), None)
            }
            _ => return Err(Failure::denied()),
        })
    }
}

fn in_memory(bytes: &[u8]) -> io::Result<OwnedFd> {
    let mut file = std::fs::File::from(memfd_create("nbdbox-list", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(path: &str, writable: bool) -> Request {
        Request::Disk {
            path: Path::new(path).into(),
            writable,
        }
    }

    fn code(path: &str) -> Request {
        Request::Code {
            path: Path::new(path).into(),
            compatibility: 7,
        }
    }

    #[test]
    fn only_the_named_paths_are_allowed() {
        let mut rights = Rights::default();
        rights.allow(Path::new("/srv/a.img"), Right::ReadDisk);
        rights.allow(Path::new("/srv/b.img"), Right::WriteDisk);
        for (request, allowed) in [
            (disk("/srv/a.img", false), true),
            (disk("/srv/a.img", true), false),
            (disk("/srv/b.img", true), true),
            (disk("/srv/b.img", false), true),
            (disk("/srv/../srv/a.img", false), false),
            (disk("/srv/c.img", false), false),
            (Request::Read(Path::new("/srv/a.img").into()), false),
            (Request::Look(Path::new("/srv/a.img").into()), true),
            (Request::Look(Path::new("/srv").into()), false),
            (code("/srv/a.img"), false),
            (Request::Listen(Socket::CommandLine(0)), false),
            (Request::Input, false),
            (Request::Visit(0), false),
        ] {
            assert_eq!(rights.permit(&request), allowed, "{request:?}");
        }
    }

    #[test]
    fn files_directly_in_a_folder_are_allowed_and_none_below() {
        let mut rights = Rights::default();
        rights.allow_in(Path::new("/plugins"), Some("wasm"), &[Right::Code]);
        for (path, allowed) in [
            ("/plugins/a.wasm", true),
            ("/plugins/a.txt", false),
            ("/plugins/x/a.wasm", false),
            ("/plugins/..", false),
            ("/plugins/../a.wasm", false),
            ("/plugins", false),
        ] {
            assert_eq!(rights.permit(&code(path)), allowed, "{path}");
        }
    }

    #[test]
    fn provided_bytes_stay_when_the_file_changes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nbdbox.toml");
        std::fs::write(&path, "new").unwrap();
        let mut rights = Rights::default();
        rights.provide(&path, b"old");
        let (_, file) = rights
            .perform(&Request::Read(path.as_path().into()))
            .unwrap();
        let text = std::io::read_to_string(std::fs::File::from(file.unwrap())).unwrap();
        assert_eq!(text, "old");
    }

    #[test]
    fn a_denied_request_is_eperm_and_touches_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let request = Request::Append {
            path: path.as_path().into(),
            anew: true,
        };
        let failed = Rights::default().perform(&request).unwrap_err();
        let failed = io::Error::from(failed);
        assert_eq!(failed.kind(), io::ErrorKind::PermissionDenied);
        assert!(!path.exists());
    }
}
