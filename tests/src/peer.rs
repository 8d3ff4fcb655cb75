//! Other people's servers, to compare with.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Long enough for the slowest machine: a test that waits longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Another server, running on a unix socket of its own. Killed when it's dropped.
///
/// Paths among its arguments are absolute: it runs in a folder of its own.
#[derive(Debug)]
pub struct Peer {
    child: Child,
    folder: TempDir,
}

impl Peer {
    /// `nbdkit ARGUMENTS…`: a plugin and its settings.
    #[must_use]
    pub fn nbdkit<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Self {
        let mut command = Command::new("nbdkit");
        command.args(["-f", "-P", "pid", "-U"]);
        Self::start(command, arguments)
    }

    /// `qemu-nbd ARGUMENTS…`: options and a file.
    #[must_use]
    pub fn qemu_nbd<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Self {
        let mut command = Command::new("qemu-nbd");
        command.args(["-t", "-e", "4", "--pid-file=pid", "-k"]);
        Self::start(command, arguments)
    }

    /// The socket's path comes after what the command has so far.
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
        // The pidfile comes when clients can.
        while !peer.folder.path().join("pid").exists() {
            let ended = peer.child.try_wait().unwrap();
            assert!(ended.is_none(), "{} ended: {ended:?}", program.display());
            let waited = start.elapsed();
            assert!(waited < PATIENCE, "{} doesn't listen", program.display());
            thread::sleep(Duration::from_millis(2));
        }
        peer
    }

    /// Its socket.
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
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
