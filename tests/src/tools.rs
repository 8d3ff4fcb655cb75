//! Other programs that tests run.

use std::ffi::OsStr;
use std::process::{Command, Output};

/// The outcome of a program.
#[derive(Debug)]
pub struct Run {
    /// Its exit status; -1 after a signal.
    pub code: i32,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Run {
    /// Returns the output of a program that succeeded.
    ///
    /// # Panics
    /// The program failed. The text has its output.
    #[must_use]
    pub fn ok(self) -> String {
        assert_eq!(
            self.code, 0,
            "stdout:\n{}\nstderr:\n{}",
            self.stdout, self.stderr
        );
        self.stdout
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Runs a program.
///
/// # Panics
/// The program isn't installed.
#[must_use]
pub fn run<S: AsRef<OsStr>>(
    program: impl AsRef<OsStr>,
    arguments: impl IntoIterator<Item = S>,
) -> Run {
    let program = program.as_ref();
    let output = Command::new(program).args(arguments).output();
    let missing = |error| panic!("can't run {}: {error}: run `make setup`", program.display());
    output.unwrap_or_else(missing).into()
}

/// Runs a shell script, which ends at the first error.
///
/// # Panics
/// There is no shell.
#[must_use]
pub fn shell(script: &str) -> Run {
    run("bash", ["-euo", "pipefail", "-c", script])
}

/// Runs commands of `qemu-io` on a file or a URI, each of which must succeed. Returns the output.
///
/// # Panics
/// A command fails, or a pattern doesn't match.
pub fn qemu_io<S: AsRef<str>>(format: &str, target: &str, commands: &[S]) -> String {
    let mut words = vec!["-f", format];
    for command in commands {
        words.extend(["-c", command.as_ref()]);
    }
    words.push(target);
    let said = run("qemu-io", words).ok();
    assert!(!said.contains("failed"), "{said}");
    said
}

/// The first lines of every script of [`nbdsh`].
const PRELUDE: &str = r"
import errno, nbd, sys
uri = sys.argv[1]

def connect():
    h = nbd.NBD()
    h.add_meta_context(nbd.CONTEXT_BASE_ALLOCATION)
    h.set_strict_mode(0)
    h.set_uri_allow_local_file(True)
    h.connect_uri(uri)
    return h

h = connect()
";

/// Runs a Python script with libnbd's `nbd`, and with a handle `h` that is connected to the URI with `base:allocation`.
/// libnbd sends even requests that it would refuse by default.
///
/// Doesn't use the program `nbdsh`, which runs the first `python3` on the path.
///
/// # Panics
/// There is no Python.
#[must_use]
pub fn nbdsh(uri: &str, script: &str) -> Run {
    let script = format!("{PRELUDE}{script}");
    run("/usr/bin/python3", ["-c", &script, uri])
}
