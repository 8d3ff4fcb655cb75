//! What a server asks of the kernel, as strace sees it.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::{Server, run};

/// Long enough for the slowest machine: a test that waits longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// strace on all threads of a server.
#[derive(Debug)]
pub struct Strace {
    child: Child,
    log: PathBuf,
}

impl Strace {
    /// Begins to watch these calls, as strace's `--trace` names them.
    ///
    /// # Panics
    /// It isn't installed, or may not.
    #[must_use]
    pub fn attach(server: &Server, calls: &str) -> Self {
        let said = server.folder().join("strace.err");
        let log = server.folder().join("strace.log");
        let mut child = Command::new("strace")
            .args(["--follow-forks", "--attach", &server.pid().to_string()])
            .arg("--output")
            .arg(&log)
            .arg(format!("--trace={calls}"))
            .args(["--quiet=exit", "--signal=none"])
            .stdin(Stdio::null())
            .stderr(File::create(&said).unwrap())
            .spawn()
            .unwrap_or_else(|error| panic!("can't run strace: {error}: run `make setup`"));
        let start = Instant::now();
        // It says so when it has all threads.
        let whole = format!("Process {} attached", server.pid());
        loop {
            let text = fs::read_to_string(&said).unwrap();
            if text.contains(&whole) {
                return Self { child, log };
            }
            let ended = child.try_wait().unwrap();
            let waiting = ended.is_none() && start.elapsed() < PATIENCE;
            assert!(
                waiting,
                "strace can't attach to the server; this needs ptrace:\n{text}"
            );
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Ends it, by SIGTERM, at which it detaches in order. What it has seen: a line for each call, or two
    /// where another thread's came in between.
    #[must_use]
    pub fn detach(mut self) -> String {
        let _ = run("kill", [self.child.id().to_string()]);
        self.child.wait().unwrap();
        fs::read_to_string(self.log).unwrap()
    }
}
