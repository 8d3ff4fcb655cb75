//! The file of a unix socket: which server may make, replace and remove it.
//!
//! A server that was killed leaves its socket's file behind. Another server recognizes such a file only by a
//! connection that the kernel refuses. The kernel also refuses a connection to a socket that a server has just made
//! and doesn't listen on yet. Therefore each nbdbox server makes its socket, begins to listen, and removes the file
//! while it holds a lock next to the file. So no server takes the socket of another. A server never replaces a file
//! that isn't a socket, nor a symlink, wherever it leads.

use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

/// Time that another server may hold the lock. It needs less than a millisecond to begin to listen. Restrains a server
/// that was stopped meanwhile, and any other program that holds the lock.
const PATIENCE: Duration = Duration::from_secs(2);

/// The pause between two attempts to take the lock.
const PAUSE: Duration = Duration::from_millis(10);

/// A socket's file that this process made. Dropping it removes the file if it is still the same, and blocks for 2 s at
/// most. The owner must drop it before it closes the socket: until then no other server takes the file for one that was
/// left behind.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    made: Identity,
}

/// Device and inode of a file. They identify it as long as its socket is open.
type Identity = (u64, u64);

/// The right to make, replace or remove the socket at a path. At most one nbdbox server has it.
pub(super) struct Lock {
    path: PathBuf,
    /// Closing the descriptor releases the lock.
    _file: File,
}

impl SocketFile {
    /// Binds a socket to a path. Replaces a socket there on which no process listens. The caller holds the lock of the
    /// path.
    ///
    /// # Errors
    /// A process listens on the socket at the path, something there isn't a socket, or the file system forbids it.
    pub(super) fn bind(
        socket: impl std::os::fd::AsFd,
        path: &Path,
        _lock: &Lock,
    ) -> anyhow::Result<Self> {
        let address = SocketAddrUnix::new(path)?;
        // A program that doesn't use the lock may make another socket right after the removal.
        for _ in 0..3 {
            match rustix::net::bind(&socket, &address) {
                Err(Errno::ADDRINUSE) => remove_left_behind(path)?,
                bound => {
                    bound?;
                    return Ok(Self {
                        path: path.to_owned(),
                        made: identity(&path.symlink_metadata()?),
                    });
                }
            }
        }
        bail!("another program makes a socket there again and again: choose another path")
    }

    /// The file's path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Another program may have replaced the file. If the lock fails, for example because the folder isn't writable
        // any more, the removal fails too.
        let _lock = Lock::take(&self.path);
        let metadata = self.path.symlink_metadata();
        if metadata.is_ok_and(|metadata| identity(&metadata) == self.made) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes the socket at a path if no process listens on it.
fn remove_left_behind(path: &Path) -> anyhow::Result<()> {
    let Some(metadata) = unless_gone(path.symlink_metadata())? else {
        return Ok(());
    };
    let what = metadata.file_type();
    ensure!(
        what.is_socket(),
        "{} is there, and nbdbox replaces only sockets: remove it, or choose another path",
        match () {
            () if what.is_symlink() => "a symlink",
            () if what.is_dir() => "a folder",
            () if what.is_file() => "a file",
            () => "something else",
        }
    );
    match probe(path) {
        // "No-one listening on the remote address" (connect(2)).
        Err(Errno::CONNREFUSED) => {}
        Err(Errno::NOENT) => return Ok(()),
        // EAGAIN: a process listens, and its backlog is full. EPROTOTYPE: a process uses a socket of another type.
        Ok(()) | Err(Errno::AGAIN | Errno::PROTOTYPE) => {
            bail!("it is in use by another server: choose another path")
        }
        Err(error) => {
            bail!(
                "a socket is there, and nbdbox can't find out whether a process listens on it ({error}): remove it if \
                 none does, or choose another path"
            )
        }
    }
    // Another program may have made a new file meanwhile, which must stay.
    let still = unless_gone(path.symlink_metadata())?;
    if still.is_some_and(|still| identity(&still) == identity(&metadata)) {
        unless_gone(fs::remove_file(path)).context("can't replace the socket there")?;
        tracing::warn!(
            target: "nbdbox::server",
            "replaced the socket {}, which a server had left behind: no process listened on it",
            path.display()
        );
    }
    Ok(())
}

/// Tries to connect to a socket, without waiting.
fn probe(path: &Path) -> Result<(), Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)
}

impl Lock {
    /// Takes the lock of the socket at this path. Blocks for 2 s at most. On a file system without locks it returns at
    /// once.
    ///
    /// # Errors
    /// Another process holds the lock for longer, or the lock file can't be made.
    pub(super) fn take(socket: &Path) -> anyhow::Result<Self> {
        let path = beside(socket);
        let named = || format!("can't lock {}", path.display());
        let start = Instant::now();
        loop {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .custom_flags(i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits())?)
                .open(&path)
                .with_context(named)?;
            match file.try_lock() {
                // A holder removes the file before it releases the lock. A lock on a removed file locks out no other
                // server, so it doesn't count.
                Ok(()) if is_at(&file, &path) => return Ok(Self { path, _file: file }),
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => ensure!(
                    start.elapsed() < PATIENCE,
                    "{}: another server has held it for {} s; stop it, or choose another path",
                    named(),
                    PATIENCE.as_secs()
                ),
                // Without locks on this file system, bind(2) alone must do: it's atomic.
                Err(TryLockError::Error(_)) => {
                    return Ok(Self { path, _file: file });
                }
            }
            std::thread::sleep(PAUSE);
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // The lock is released after this. If the file stays, it does no harm.
        let _ = fs::remove_file(&self.path);
    }
}

/// The path of a socket's lock: `.NAME.lock` in the same folder.
fn beside(socket: &Path) -> PathBuf {
    let name = socket.file_name().unwrap_or_default();
    let name = [b".", name.as_bytes(), b".lock"].concat();
    socket.with_file_name(std::ffi::OsStr::from_bytes(&name))
}

fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(open), Ok(named)) = (file.metadata(), path.symlink_metadata()) else {
        return false;
    };
    identity(&open) == identity(&named)
}

fn identity(metadata: &Metadata) -> Identity {
    (metadata.dev(), metadata.ino())
}

fn unless_gone<T>(done: io::Result<T>) -> io::Result<Option<T>> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        done => done.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixDatagram, UnixListener};
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    use std::thread;

    use super::*;

    /// Makes a listening socket as a server does.
    fn listen(path: &Path) -> anyhow::Result<(SocketFile, std::os::fd::OwnedFd)> {
        let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
        let lock = Lock::take(path)?;
        let file = SocketFile::bind(&socket, path, &lock)?;
        rustix::net::listen(&socket, 1)?;
        Ok((file, socket))
    }

    fn names(folder: &Path) -> Vec<std::ffi::OsString> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_socket_left_behind_is_replaced_and_no_file_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        drop(UnixListener::bind(&path).unwrap());
        let made = listen(&path).unwrap();
        assert_eq!(names(folder.path()), ["s"]);
        drop(made);
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn a_used_socket_and_any_other_file_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let _live = UnixListener::bind(path("live")).unwrap();
        let _datagrams = UnixDatagram::bind(path("datagrams")).unwrap();
        fs::write(path("file"), "precious").unwrap();
        fs::create_dir(path("folder")).unwrap();
        drop(UnixListener::bind(path("stale")).unwrap());
        std::os::unix::fs::symlink("stale", path("link")).unwrap();
        std::os::unix::fs::symlink("nowhere", path("dangling")).unwrap();
        let before = names(folder.path());
        for (name, words) in [
            ("live", "in use by another server"),
            ("datagrams", "in use by another server"),
            ("file", "a file is there"),
            ("folder", "a folder is there"),
            ("link", "a symlink is there"),
            ("dangling", "a symlink is there"),
        ] {
            let error = format!("{:#}", listen(&path(name)).unwrap_err());
            assert!(error.contains(words), "{name}: {error}");
        }
        assert_eq!(names(folder.path()), before);
    }

    #[test]
    fn a_server_does_not_remove_a_socket_that_has_replaced_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let first = listen(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let second = listen(&path).unwrap();
        drop(first);
        assert_eq!(probe(&path), Ok(()));
        drop(second);
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn one_of_many_servers_that_start_at_once_gets_the_path() {
        let folder = tempfile::tempdir().unwrap();
        for round in 0..100 {
            let path = folder.path().join(round.to_string());
            drop(UnixListener::bind(&path).unwrap());
            let got = AtomicUsize::new(0);
            let all = std::sync::Barrier::new(4);
            thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        all.wait();
                        let made = listen(&path);
                        got.fetch_add(usize::from(made.is_ok()), Relaxed);
                        // No socket is dropped before all threads have tried.
                        all.wait();
                        if made.is_ok() {
                            // The probes of the others may have filled the backlog.
                            let probed = probe(&path);
                            assert!(matches!(probed, Ok(()) | Err(Errno::AGAIN)), "{probed:?}");
                        }
                    });
                }
            });
            assert_eq!(got.load(Relaxed), 1);
        }
        assert!(names(folder.path()).is_empty());
    }
}
