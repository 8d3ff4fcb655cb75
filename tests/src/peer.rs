//! Other servers, to compare nbdbox with.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Enough for the slowest machine: a test that waits longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Another server, on a unix socket of its own. Dropping it kills the server.
///
/// Its arguments need absolute paths, because it runs in a folder of its own.
#[derive(Debug)]
pub struct Peer {
    child: Child,
    folder: TempDir,
}

impl Peer {
    /// Starts `nbdkit ARGUMENTS…`: a plugin and its settings.
    #[must_use]
    pub fn nbdkit<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Self {
        let mut command = Command::new("nbdkit");
        command.args(["-f", "-P", "pid", "-U"]);
        Self::start(command, arguments)
    }

    /// Starts `qemu-nbd ARGUMENTS…`: options and a file.
    #[must_use]
    pub fn qemu_nbd<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Self {
        let mut command = Command::new("qemu-nbd");
        command.args(["-t", "-e", "4", "--pid-file=pid", "-k"]);
        Self::start(command, arguments)
    }

    /// Starts a command, to which it adds the socket's path and `arguments`.
    fn start<S: AsRef<OsStr>>(
        mut command: Command,
        arguments: impl IntoIterator<Item = S>,
    ) -> Self {
        let folder = TempDir::with_prefix("nbdbox-peer-").unwrap();
        let program = command.get_program().to_owned();
        command
            .arg(folder.path().join("socket"))
            .args(arguments)
            .current_dir(folder.path());
        let child = command
            .stdin(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("can't run {}: {error}: run `make setup`", program.display())
            });
        let mut peer = Self { child, folder };
        let start = Instant::now();
        // The server writes the pidfile when clients can connect.
        while !peer.folder.path().join("pid").exists() {
            let ended = peer.child.try_wait().unwrap();
            assert!(ended.is_none(), "{} ended: {ended:?}", program.display());
            let waited = start.elapsed();
            assert!(waited < PATIENCE, "{} doesn't listen", program.display());
            thread::sleep(Duration::from_millis(2));
        }
        peer
    }

    /// The path of its socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// The URI of its default export.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("nbd+unix:///?socket={}", self.socket().display())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // The server may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
