//! A server under test: started, used, and at the end stopped and examined.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Read as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{Raw, nbdbox};

/// Enough for the slowest machine: a test that waits longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running `nbdbox serve` on a unix socket of its own. Dropping it kills the server.
#[derive(Debug)]
pub struct Server {
    child: Child,
    folder: TempDir,
}

/// How a server ended.
#[derive(Debug)]
pub struct Exit {
    /// Its exit status; `None` if a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// The complete log.
    pub log: String,
}

/// The id of the process that serves: a child of process `pid`, if that is a keeper.
#[must_use]
pub fn serving_pid(pid: u32) -> u32 {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let children = children.unwrap_or_default();
    let mut children = children.split_whitespace().flat_map(str::parse::<u32>);
    let serves = |child: &u32| {
        let words = fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
        words.split(|byte| *byte == 0).nth(1) == Some(b"behind-walls")
    };
    children.find(serves).unwrap_or(pid)
}

/// Kills a server at once, like a loss of power. Kills the process that serves first, because that would drain if it
/// found its keeper gone. The server may have ended already.
pub fn kill(child: &mut Child) {
    let serving = serving_pid(child.id());
    if serving != child.id()
        && let Some(serving) = i32::try_from(serving).ok().and_then(Pid::from_raw)
    {
        let _ = kill_process(serving, Signal::KILL);
    }
    // Killed before the keeper can start another server.
    let _ = child.kill();
    let _ = child.wait();
}

impl Server {
    /// Starts `nbdbox serve -U SOCKET -v ARGUMENTS…` and waits until it listens.
    ///
    /// # Panics
    /// The server doesn't come to listen. The text has its log.
    #[must_use]
    pub fn start<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Self {
        let folder = TempDir::with_prefix("nbdbox-test-").unwrap();
        let socket = folder.path().join("socket");
        let address = [OsStr::new("-U"), socket.as_os_str()];
        Self::launch(Command::new(nbdbox()), folder, address, arguments)
    }

    /// As [`start`](Self::start), for a server that may refuse to start.
    ///
    /// # Errors
    /// The server ended before it listened.
    pub fn try_start<S: AsRef<OsStr>>(
        arguments: impl IntoIterator<Item = S>,
    ) -> Result<Self, Exit> {
        let folder = TempDir::with_prefix("nbdbox-test-").unwrap();
        let socket = folder.path().join("socket");
        let address = [OsStr::new("-U"), socket.as_os_str()];
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let program = Command::new(nbdbox());
        let mut server = Self::spawn(log.into(), program, folder, address, arguments);
        match server.has_come_to_listen() {
            true => Ok(server),
            false => Err(server.ended()),
        }
    }

    /// As [`start`](Self::start), with limits of descriptors (`SOFT:HARD`).
    #[must_use]
    pub fn within_descriptors(limits: &str, arguments: &[&str]) -> Self {
        let mut program = Command::new("prlimit");
        program.arg(format!("--nofile={limits}")).arg(nbdbox());
        Self::started_by(program, arguments)
    }

    /// As [`start`](Self::start), by a command that ends with the program's path and replaces itself with it.
    #[must_use]
    pub fn started_by(program: Command, arguments: &[&str]) -> Self {
        let folder = TempDir::with_prefix("nbdbox-test-").unwrap();
        let socket = folder.path().join("socket");
        let address = [OsStr::new("-U"), socket.as_os_str()];
        Self::launch(program, folder, address, arguments)
    }

    /// As [`start`](Self::start), with another standard error, so that [`log`](Self::log) finds nothing.
    #[must_use]
    pub fn logging_to(log: impl Into<Stdio>, arguments: &[&str]) -> Self {
        let folder = TempDir::with_prefix("nbdbox-test-").unwrap();
        fs::File::create(folder.path().join("log")).unwrap();
        let socket = folder.path().join("socket");
        let address = [OsStr::new("-U"), socket.as_os_str()];
        Self::launch_logging_to(
            log.into(),
            Command::new(nbdbox()),
            folder,
            address,
            arguments,
        )
    }

    /// Serves an example plugin with its settings on a TCP port that was free.
    #[must_use]
    pub fn plugin_over_tcp(name: &str, settings: &[&str]) -> Self {
        let folder = TempDir::with_prefix("nbdbox-test-").unwrap();
        let plugin = crate::plugin(name).into_os_string();
        let arguments = std::iter::once(plugin).chain(settings.iter().map(Into::into));
        let address = ["--port", "0"].map(OsStr::new);
        Self::launch(Command::new(nbdbox()), folder, address, arguments)
    }

    /// Serves a configuration, in which `FOLDER` stands for the server's folder. One of its listeners must have the
    /// unix socket `FOLDER/socket`.
    #[must_use]
    pub fn hosting(config: &str) -> Self {
        Self::hosting_with(config, &[])
    }

    /// As [`hosting`](Self::hosting), with more options.
    #[must_use]
    pub fn hosting_with(config: &str, options: &[&str]) -> Self {
        Self::hosting_by(Command::new(nbdbox()), config, options)
    }

    /// As [`hosting`](Self::hosting), with a compile cache in this folder.
    #[must_use]
    pub fn hosting_with_cache(config: &str, cache: &Path) -> Self {
        let mut program = Command::new(nbdbox());
        program.env("XDG_CACHE_HOME", cache);
        Self::hosting_by(program, config, &[])
    }

    fn hosting_by(program: Command, config: &str, options: &[&str]) -> Self {
        let folder = TempDir::with_prefix("nbdbox-test-").unwrap();
        let path = folder.path().join("nbdbox.toml");
        let text = config.replace("FOLDER", folder.path().to_str().unwrap());
        fs::write(&path, text).unwrap();
        let config = [OsStr::new("--config"), path.as_os_str()];
        Self::launch(program, folder, config, options)
    }

    /// Replaces the configuration in one step, and waits until the server has reported whether it took it.
    pub fn reload(&self, config: &str) {
        let heard = || {
            let log = self.log();
            log.matches("reloaded (").count()
                + log.matches("can't reload the configuration (").count()
        };
        let before = heard();
        let text = config.replace("FOLDER", self.folder.path().to_str().unwrap());
        let next = self.folder.path().join("next");
        fs::write(&next, text).unwrap();
        fs::rename(next, self.folder.path().join("nbdbox.toml")).unwrap();
        let start = Instant::now();
        while heard() == before {
            assert!(start.elapsed() < PATIENCE, "no reload:\n{}", self.log());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Starts the program and waits until it listens at `address`.
    fn launch<S: AsRef<OsStr>>(
        program: Command,
        folder: TempDir,
        address: [&OsStr; 2],
        arguments: impl IntoIterator<Item = S>,
    ) -> Self {
        let log = fs::File::create(folder.path().join("log")).unwrap();
        Self::launch_logging_to(log.into(), program, folder, address, arguments)
    }

    fn launch_logging_to<S: AsRef<OsStr>>(
        log: Stdio,
        program: Command,
        folder: TempDir,
        address: [&OsStr; 2],
        arguments: impl IntoIterator<Item = S>,
    ) -> Self {
        let mut server = Self::spawn(log, program, folder, address, arguments);
        assert!(
            server.has_come_to_listen(),
            "the server ended:\n{}",
            server.log()
        );
        server
    }

    fn spawn<S: AsRef<OsStr>>(
        log: Stdio,
        mut program: Command,
        folder: TempDir,
        address: [&OsStr; 2],
        arguments: impl IntoIterator<Item = S>,
    ) -> Self {
        let arguments: Vec<OsString> = arguments
            .into_iter()
            .map(|argument| argument.as_ref().to_owned())
            .collect();
        // Nothing that a test does needs a wall to be missing.
        let sandbox = ["--sandbox=require"];
        let says = |argument: &OsString| argument.as_encoded_bytes().starts_with(b"--sandbox");
        let sandbox = sandbox.iter().filter(|_| !arguments.iter().any(says));
        program
            .args(["serve", "-v"])
            .args(sandbox)
            .args(address)
            .arg("-P")
            .arg(folder.path().join("pid"))
            .args(arguments);
        let child = program
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("nbdbox starts");
        Self { child, folder }
    }

    /// Serves an example plugin with its settings.
    #[must_use]
    pub fn plugin(name: &str, settings: &[&str]) -> Self {
        let plugin = crate::plugin(name).into_os_string();
        Self::start(std::iter::once(plugin).chain(settings.iter().map(Into::into)))
    }

    /// Waits until the server listens, or has ended.
    fn has_come_to_listen(&mut self) -> bool {
        let start = Instant::now();
        // The server writes the pidfile when clients can connect.
        while !self.folder.path().join("pid").exists() {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            assert!(
                start.elapsed() < PATIENCE,
                "the server doesn't listen:\n{}",
                self.log()
            );
            thread::sleep(Duration::from_millis(2));
        }
        true
    }

    /// The path of the server's socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// A folder for the test's own files. Dropping the server removes it.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The URI of its default export.
    #[must_use]
    pub fn uri(&self) -> String {
        self.uri_of("")
    }

    /// The URI of an export, whose name must need no quoting.
    #[must_use]
    pub fn uri_of(&self, export: &str) -> String {
        format!("nbd+unix:///{export}?socket={}", self.socket().display())
    }

    /// A raw connection, on which the server's hello hasn't been read yet.
    #[must_use]
    pub fn connect(&self) -> Raw {
        Raw::connect(&self.socket())
    }

    /// The server's log so far.
    #[must_use]
    pub fn log(&self) -> String {
        let mut log = String::new();
        let mut file = fs::File::open(self.folder.path().join("log")).unwrap();
        file.read_to_string(&mut log).unwrap();
        log
    }

    /// The process id that takes signals: the keeper's, if there is one.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The id of the process that serves.
    #[must_use]
    pub fn serving_pid(&self) -> u32 {
        serving_pid(self.pid())
    }

    /// Whether it's still alive.
    #[must_use]
    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Sends SIGTERM, and waits until the server has ended.
    #[must_use]
    pub fn stop(self) -> Exit {
        let killed = Command::new("kill")
            .arg(self.pid().to_string())
            .status()
            .unwrap();
        assert!(killed.success());
        self.ended()
    }

    /// Waits for the end of a server that was told to end.
    #[must_use]
    pub fn ended(mut self) -> Exit {
        let start = Instant::now();
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if start.elapsed() > PATIENCE => {
                    panic!("the server doesn't stop:\n{}", self.log())
                }
                None => thread::sleep(Duration::from_millis(2)),
            }
        };
        Exit {
            code: status.code(),
            signal: status.signal(),
            log: self.log(),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        kill(&mut self.child);
    }
}
