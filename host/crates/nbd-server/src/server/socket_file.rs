//! The file of a unix socket: who may make it, replace it and remove it.
//!
//! A server that was killed leaves its socket's file, and nothing else tells it from one that is used: whoever connects
//! is refused. So is whoever connects to a socket that a server has just made and doesn't listen on yet. Each of our
//! servers therefore makes a socket, listens on it and removes its file while it holds a lock beside the file, so none
//! takes another's. What is no socket is never replaced, and neither is a symlink, wherever it leads.

use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

/// Time for another server to listen on its socket, which takes it less than a millisecond. Restrains one that was
/// stopped meanwhile, or somebody else who holds the lock.
const PATIENCE: Duration = Duration::from_secs(2);

/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(10);

/// A socket's file that this process made. Removed when it's dropped, if it's still the same: before the socket itself
/// is closed, since until then no other server takes it for one that was left behind.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    made: Identity,
}

/// Which file it is, as long as its socket is open.
type Identity = (u64, u64);

/// The right to make, replace or remove the socket at a path, among our servers.
pub(super) struct Lock {
    path: PathBuf,
    /// The lock goes with the descriptor.
    _file: File,
}

impl SocketFile {
    /// Binds a socket to a path. Where a socket is that nobody listens on, this one takes its place.
    ///
    /// # Errors
    /// Why not: somebody listens there, it's something else than a socket, it isn't allowed.
    pub(super) fn bind(
        socket: impl std::os::fd::AsFd,
        path: &Path,
        _lock: &Lock,
    ) -> anyhow::Result<Self> {
        let address = SocketAddrUnix::new(path)?;
        // What was removed can be there again, if somebody else than our servers makes sockets there.
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
        bail!("somebody else makes a socket there again and again")
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Somebody may have removed it, and put another one there. Without the lock, in a folder that can't be written
        // any more, say, the removal fails as well.
        let _lock = Lock::take(&self.path);
        let metadata = self.path.symlink_metadata();
        if metadata.is_ok_and(|metadata| identity(&metadata) == self.made) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes a socket that nobody listens on.
fn remove_left_behind(path: &Path) -> anyhow::Result<()> {
    let Some(metadata) = unless_gone(path.symlink_metadata())? else {
        return Ok(());
    };
    let what = metadata.file_type();
    ensure!(
        what.is_socket(),
        "{} is there, and only a socket is replaced: remove it, or choose another path",
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
        // EAGAIN: somebody listens, and others wait to be let in. EPROTOTYPE: a socket of another type is used.
        Ok(()) | Err(Errno::AGAIN | Errno::PROTOTYPE) => {
            bail!("it is in use by another server: choose another path")
        }
        Err(error) => {
            bail!(
                "a socket is there, and whether somebody listens on it can't be found out ({error}): remove it if it \
                 was left behind, or choose another path"
            )
        }
    }
    // Not what has come there meanwhile.
    let still = unless_gone(path.symlink_metadata())?;
    if still.is_some_and(|still| identity(&still) == identity(&metadata)) {
        unless_gone(fs::remove_file(path)).context("the socket there can't be replaced")?;
        tracing::warn!(
            target: "nbdbox::server",
            "replaced the socket {}, which a server left behind: nobody listened on it",
            path.display()
        );
    }
    Ok(())
}

/// Connects, without waiting.
fn probe(path: &Path) -> Result<(), Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)
}

impl Lock {
    /// Takes the lock of the socket at this path. Blocks for two seconds at most.
    ///
    /// # Errors
    /// Somebody holds it, or the folder can't be written to.
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
                // Whoever had it before removes it before they give it back: then this one locks nobody out.
                Ok(()) if is_at(&file, &path) => return Ok(Self { path, _file: file }),
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => ensure!(
                    start.elapsed() < PATIENCE,
                    "{}: another server has held it for {} s",
                    named(),
                    PATIENCE.as_secs()
                ),
                // Where the file system knows no locks, binding alone has to do: it's atomic.
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
        // It's given back after this. A file that stays does no harm.
        let _ = fs::remove_file(&self.path);
    }
}

/// Where the lock of a socket is: `.NAME.lock`, in its folder.
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

    /// A socket that listens, as a server makes it.
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
    fn what_was_left_behind_is_replaced_and_nothing_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        drop(UnixListener::bind(&path).unwrap());
        let made = listen(&path).unwrap();
        assert_eq!(names(folder.path()), ["s"]);
        drop(made);
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn what_is_used_or_no_socket_stays() {
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
    fn somebody_elses_socket_in_its_place_is_not_removed() {
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
    fn of_many_that_start_at_once_one_gets_what_was_left_behind() {
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
                        // Nobody goes before all have tried.
                        all.wait();
                        if made.is_ok() {
                            // Those that looked may have left no room for one more.
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
