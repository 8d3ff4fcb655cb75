//! The events that may end a server.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use futures_util::FutureExt as _;
use tokio::io::Interest;
use tokio::net::unix::pipe;

/// Something that happens once. Checking it may wait for a disk.
#[derive(Debug)]
pub(crate) enum Event {
    /// A file exists.
    Created(PathBuf),
    /// A file doesn't exist.
    Deleted(PathBuf),
    /// A process has ended.
    Exited(u32),
    /// No process can write to a pipe any more.
    Closed(pipe::Receiver),
}

impl Event {
    /// The event of the pipe that the server inherited as this descriptor. Must be called in a runtime.
    ///
    /// # Errors
    /// The descriptor isn't a pipe's.
    pub(crate) fn of_pipe(descriptor: u32) -> Result<Self, String> {
        let pipe = outside::files::pipe(descriptor).and_then(pipe::Receiver::from_owned_fd);
        pipe.map(Self::Closed)
            .map_err(|error| format!("exit-when-pipe-closed={descriptor}: {error}"))
    }

    /// Whether the event has happened. Blocks.
    pub(crate) fn has_happened(&mut self) -> bool {
        match self {
            Self::Created(path) => outside::files::look(path).is_ok(),
            // If the check itself fails, the file may exist.
            Self::Deleted(path) => is_missing(path),
            Self::Exited(process) => is_missing(Path::new(&format!("/proc/{process}"))),
            Self::Closed(pipe) => {
                let ready = pipe.ready(Interest::READABLE).now_or_never();
                ready.is_some_and(|ready| ready.is_ok_and(|ready| ready.is_read_closed()))
            }
        }
    }
}

fn is_missing(path: &Path) -> bool {
    let looked = outside::files::look(path);
    looked.is_err_and(|error| error.kind() == ErrorKind::NotFound)
}
