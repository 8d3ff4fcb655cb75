//! What a server may end with.

use std::path::{Path, PathBuf};

use futures_util::FutureExt as _;
use tokio::io::Interest;
use tokio::net::unix::pipe;

/// Something that happens once. Looking for it may wait for a disk.
#[derive(Debug)]
pub(crate) enum Event {
    /// There is a file.
    Created(PathBuf),
    /// There isn't.
    Deleted(PathBuf),
    /// A process is gone.
    Exited(u32),
    /// Nobody can write to a pipe any more.
    Closed(pipe::Receiver),
}

impl Event {
    /// The event of a pipe that the server was handed as this descriptor. Must be called in a runtime.
    ///
    /// # Errors
    /// It isn't a pipe's.
    pub(crate) fn of_pipe(descriptor: u32) -> Result<Self, String> {
        // By its name: only an unsafe call could make a file of a number.
        let path = format!("/proc/self/fd/{descriptor}");
        let pipe = pipe::OpenOptions::new().open_receiver(path);
        pipe.map(Self::Closed)
            .map_err(|error| format!("exit-when-pipe-closed={descriptor}: {error}"))
    }

    /// Blocks.
    pub(crate) fn has_happened(&mut self) -> bool {
        match self {
            Self::Created(path) => path.exists(),
            // A file that can't be looked for may be there.
            Self::Deleted(path) => matches!(path.try_exists(), Ok(false)),
            Self::Exited(process) => !Path::new(&format!("/proc/{process}")).exists(),
            Self::Closed(pipe) => {
                let ready = pipe.ready(Interest::READABLE).now_or_never();
                ready.is_some_and(|ready| ready.is_ok_and(|ready| ready.is_read_closed()))
            }
        }
    }
}
