//! A folder of its own for one run of the program, and a check of what the run left behind.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nbdbox_tests::{Run, nbdbox};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Enough for the slowest machine: a test that waits longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// The folder in which the program runs, with a folder for temporary files that no other program uses.
#[derive(Debug)]
pub(crate) struct Scene {
    folder: TempDir,
}

/// A program that runs in a scene. Dropping it kills the program.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    log: PathBuf,
    out: PathBuf,
}

/// How a [`Running`] ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) log: String,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let folder = TempDir::with_prefix("nbdbox-scene-").unwrap();
        fs::create_dir(folder.path().join("tmp")).unwrap();
        Self { folder }
    }

    /// A path in the scene's folder, which is the program's working folder too.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// The program's `TMPDIR`.
    pub(crate) fn temporary(&self) -> PathBuf {
        self.path("tmp")
    }

    pub(crate) fn command<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
    ) -> Command {
        self.prepared(Command::new(nbdbox()), arguments)
    }

    /// Prepares a command to run here, with more arguments.
    fn prepared<S: AsRef<OsStr>>(
        &self,
        mut command: Command,
        arguments: impl IntoIterator<Item = S>,
    ) -> Command {
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("TMPDIR", self.temporary())
            // All tests of this build share the cache, so that each plugin is compiled once.
            .env(
                "XDG_CACHE_HOME",
                concat!(env!("CARGO_TARGET_TMPDIR"), "/cache"),
            )
            .env_remove("NBDBOX_LOG")
            .stdin(Stdio::null());
        command
    }

    /// Starts the program, and doesn't wait.
    pub(crate) fn start<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Running {
        self.launch(self.command(arguments))
    }

    /// Starts a command made by [`Self::command`].
    pub(crate) fn launch(&self, mut command: Command) -> Running {
        let unused = |kind: &str| {
            (0..)
                .map(|number| self.path(&format!("{kind}{number}")))
                .find(|path| !path.exists())
                .unwrap()
        };
        let (out, log) = (unused("stdout"), unused("stderr"));
        command.stdout(fs::File::create(&out).unwrap());
        command.stderr(fs::File::create(&log).unwrap());
        let child = command.spawn().expect("nbdbox starts");
        Running { child, log, out }
    }

    /// Runs the program to its end.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Run {
        self.start(arguments).end().into()
    }

    /// Starts a server with a pidfile, and waits until it listens.
    pub(crate) fn serve<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Running {
        // The caller may ignore SIGHUP, as nohup(1) does, and its children inherit that.
        let mut program = Command::new("env");
        program.arg("--default-signal=HUP").arg(nbdbox());
        let mut command = self.prepared(program, ["serve", "-P", "pid"]);
        command.args(arguments);
        let mut running = self.launch(command);
        let pidfile = self.path("pid");
        running.wait_for(|| pidfile.exists());
        running
    }

    /// The URI of the default export on the scene's unix socket `socket`.
    pub(crate) fn uri(&self) -> String {
        format!("nbd+unix:///?socket={}", self.path("socket").display())
    }

    /// Checks that no run left a socket, a pidfile, temporary files or processes behind.
    #[track_caller]
    pub(crate) fn assert_clean(&self) {
        for name in ["socket", "pid"] {
            assert!(!exists(&self.path(name)), "the {name} is left behind");
        }
        let left: Vec<_> = fs::read_dir(self.temporary()).unwrap().collect();
        assert!(left.is_empty(), "temporary files are left behind: {left:?}");
        let mut left = self.processes();
        if !left.is_empty() {
            // Between its last signal and its end, a process is neither killed nor gone.
            thread::sleep(Duration::from_millis(100));
            left = self.processes();
        }
        assert!(left.is_empty(), "processes are left behind: {left:?}");
    }

    /// The command lines of processes that have this scene in their arguments or environment, except those that were
    /// killed and still wait for a processor to end on.
    fn processes(&self) -> Vec<String> {
        let mark = self.folder.path().as_os_str().as_encoded_bytes();
        let marked = |path: PathBuf| {
            let bytes = fs::read(path).unwrap_or_default();
            bytes.windows(mark.len()).any(|window| window == mark)
        };
        let processes = fs::read_dir("/proc").unwrap().flatten();
        processes
            .map(|process| process.path())
            .filter(|path| marked(path.join("cmdline")) || marked(path.join("environ")))
            .filter(|path| !is_killed(path))
            .map(|path| fs::read_to_string(path.join("cmdline")).unwrap_or_default())
            .collect()
    }
}

/// Whether the process in this folder of /proc has been sent SIGKILL (proc(5), `SigPnd` and `ShdPnd`).
fn is_killed(process: &Path) -> bool {
    let status = fs::read_to_string(process.join("status")).unwrap_or_default();
    let pending = |line: &str| {
        let mask = line
            .strip_prefix("SigPnd:")
            .or(line.strip_prefix("ShdPnd:"))?;
        u64::from_str_radix(mask.trim(), 16).ok()
    };
    let kill = 1 << (Signal::KILL.as_raw() - 1);
    status
        .lines()
        .filter_map(pending)
        .any(|mask| mask & kill != 0)
}

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn serving_pid(&self) -> u32 {
        nbdbox_tests::serving_pid(self.pid())
    }

    /// The log so far.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap()).into_owned()
    }

    /// The output so far.
    pub(crate) fn stdout(&self) -> String {
        fs::read_to_string(&self.out).unwrap()
    }

    /// Waits until `ready` returns true. The program must stay alive.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, mut ready: impl FnMut() -> bool) {
        let start = Instant::now();
        while !ready() {
            let ended = self.child.try_wait().unwrap();
            assert!(
                ended.is_none(),
                "the program ended ({ended:?}):\n{}",
                self.log()
            );
            assert!(
                start.elapsed() < PATIENCE,
                "the condition never held:\n{}",
                self.log()
            );
            thread::sleep(Duration::from_millis(2));
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.pid()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Sends SIGTERM and waits for the end.
    pub(crate) fn stop(self) -> Ended {
        self.signal(Signal::TERM);
        self.end()
    }

    /// Sends SIGTERM unless it has ended already, and waits for the end.
    pub(crate) fn stop_or_end(mut self) -> Ended {
        if self.child.try_wait().unwrap().is_none() {
            self.signal(Signal::TERM);
        }
        self.end()
    }

    /// Waits for the end.
    #[track_caller]
    pub(crate) fn end(mut self) -> Ended {
        let start = Instant::now();
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if start.elapsed() > PATIENCE => {
                    panic!("the program doesn't end:\n{}", self.log())
                }
                None => thread::sleep(Duration::from_millis(2)),
            }
        };
        let (stdout, log) = (self.stdout(), self.log());
        Ended {
            status,
            stdout,
            log,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        nbdbox_tests::kill(&mut self.child);
    }
}

impl From<Ended> for Run {
    fn from(ended: Ended) -> Self {
        assert_eq!(ended.status.signal(), None, "{}", ended.log);
        Self {
            code: ended.status.code().unwrap_or(-1),
            stdout: ended.stdout,
            stderr: ended.log,
        }
    }
}

/// Whether a file exists, or a link, even one that leads nowhere.
fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}
