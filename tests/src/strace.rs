//! A server's system calls, as strace reports them or makes them fail.
//!
//! strace needs ptrace. Without permission for it these tests fail, because nothing else proves that an error of the
//! disk reaches the client.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::{Server, run};

/// Enough for the slowest machine: a test that waits longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// strace on all threads of a server. Dropping it ends strace.
#[derive(Debug)]
pub struct Strace {
    child: Child,
    log: PathBuf,
    injects: bool,
}

impl Strace {
    /// Starts to watch these calls, which are words for strace's `--trace`.
    ///
    /// # Panics
    /// strace isn't installed, or has no permission.
    #[must_use]
    pub fn attach(server: &Server, calls: &str) -> Self {
        Self::attach_and_inject(server, calls, &[])
    }

    /// As [`attach`](Self::attach), and makes some of the calls fail or take long. Each word is one of strace's, as in
    /// `fdatasync:delay_enter=500000`.
    ///
    /// # Panics
    /// As for [`attach`](Self::attach).
    #[must_use]
    pub fn attach_and_inject(server: &Server, calls: &str, faults: &[&str]) -> Self {
        let mut arguments = vec![format!("--trace={calls}"), "--decode-fds=path".to_owned()];
        arguments.extend(faults.iter().map(|fault| format!("--inject={fault}")));
        Self::begin(server, &arguments, !faults.is_empty())
    }

    /// Makes system calls on the file at `path` fail or take long. Each word is one of strace's, as in
    /// `pread64,preadv2:error=EIO`.
    ///
    /// # Panics
    /// As for [`attach`](Self::attach).
    #[must_use]
    pub fn inject(server: &Server, path: &Path, faults: &[&str]) -> Self {
        let calls = faults
            .iter()
            .filter_map(|fault| fault.split_once(':'))
            .map(|(calls, _)| calls);
        let calls = calls.collect::<Vec<_>>().join(",");
        let mut arguments = vec![format!("--trace={calls}")];
        arguments.extend(faults.iter().map(|fault| format!("--inject={fault}")));
        // Only the calls of the disk: not those of the runtime, nor those on the program's own files.
        arguments.push(format!("--trace-path={}", path.display()));
        Self::begin(server, &arguments, true)
    }

    fn begin(server: &Server, arguments: &[String], injects: bool) -> Self {
        let said = server.folder().join("strace.err");
        let log = server.folder().join("strace.log");
        let child = Command::new("strace")
            .args([
                "--follow-forks",
                "--attach",
                &server.serving_pid().to_string(),
            ])
            .arg("--output")
            .arg(&log)
            .args(["--quiet=exit", "--signal=none"])
            .args(arguments)
            .stdin(Stdio::null())
            .stderr(File::create(&said).unwrap())
            .spawn()
            .unwrap_or_else(|error| panic!("can't run strace: {error}: run `make setup`"));
        let mut strace = Self {
            child,
            log,
            injects,
        };
        let start = Instant::now();
        // strace prints this when it has attached to all threads.
        let whole = format!("Process {} attached", server.serving_pid());
        loop {
            let text = fs::read_to_string(&said).unwrap();
            if text.contains(&whole) {
                return strace;
            }
            let ended = strace.child.try_wait().unwrap();
            let waiting = ended.is_none() && start.elapsed() < PATIENCE;
            assert!(
                waiting,
                "strace can't attach to the server. This test needs ptrace: be root or the server's user with \
                 kernel.yama.ptrace_scope=0, in a container with CAP_SYS_PTRACE. It said:\n{text}"
            );
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// The calls that strace has reported so far.
    ///
    /// # Panics
    /// strace's log can't be read.
    #[must_use]
    pub fn seen(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Ends strace with SIGTERM, at which it detaches in order. Returns its log: one line for each call, or two if a
    /// call of another thread came in between.
    ///
    /// # Panics
    /// strace was to inject something, but the server made no such call.
    #[must_use]
    pub fn detach(mut self) -> String {
        self.stop();
        let log = self.seen();
        let hit = !self.injects || log.contains("(INJECTED)") || log.contains("(DELAYED)");
        assert!(hit, "the server made no call to inject into:\n{log}");
        log
    }

    fn stop(&mut self) {
        // strace may have ended already, with the server.
        if self.child.try_wait().unwrap().is_none() {
            let _ = run("kill", [self.child.id().to_string()]);
            let _ = self.child.wait();
        }
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        self.stop();
    }
}
