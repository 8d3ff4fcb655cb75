//! The system calls of servers under test, as strace has recorded them for `tests/setup/calls.sh`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The environment variable with the folder of the records.
pub const VARIABLE: &str = "NBDBOX_CALLS";

/// Calls that a process made, by their numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// Those that the kernel did, or that failed by themselves.
    pub made: BTreeSet<i64>,
    /// Those that failed with EPERM, each with a line of the record.
    pub denied: BTreeMap<i64, String>,
}

/// The calls of all recorded processes behind their walls, by the subcommand that each was started with.
///
/// # Panics
/// A record can't be read.
#[must_use]
pub fn recorded(folder: &Path) -> BTreeMap<&'static str, Calls> {
    let mut roles = BTreeMap::new();
    let mut records: BTreeMap<PathBuf, String> = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        // A process that was killed may have left half a line.
        let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        records.insert(path, text);
    }
    for (path, text) in &records {
        let role = ["behind-walls", "compile-plugin"]
            .into_iter()
            .find(|role| has_started_as(text, role));
        // An intruder makes calls to see them fail.
        let Some(role) = role.filter(|_| !has_started_as(text, "intrude")) else {
            continue;
        };
        let calls: &mut Calls = roles.entry(role).or_default();
        // It had one thread when it went behind its walls.
        let behind = text.rsplit("seccomp(SECCOMP_SET_MODE_FILTER").next();
        let mut texts = vec![behind.unwrap_or_default()];
        while let Some(text) = texts.pop() {
            calls.add(text);
            let threads = text.lines().filter_map(thread);
            texts.extend(threads.filter_map(|thread| {
                let path = path.with_extension(thread.to_string());
                Some(&records.get(&path)?[..])
            }));
        }
    }
    roles
}

impl Calls {
    fn add(&mut self, text: &str) {
        for line in text.lines() {
            let Some(number) = number(line) else { continue };
            match line.contains("= -1 EPERM") {
                true => drop(self.denied.entry(number).or_insert_with(|| line.to_owned())),
                false => drop(self.made.insert(number)),
            }
        }
    }
}

/// The call of a line such as `[ 318] getrandom("…", 8, 0) = 8`.
fn number(line: &str) -> Option<i64> {
    let (number, _) = line.strip_prefix('[')?.split_once(']')?;
    number.trim().parse().ok()
}

/// The thread that a line says was started.
fn thread(line: &str) -> Option<u64> {
    let starts = line.contains("] clone(") && line.contains("CLONE_THREAD");
    starts.then(|| line.rsplit("= ").next()?.trim().parse().ok())?
}

fn has_started_as(text: &str, role: &str) -> bool {
    let started = |line: &str| line.contains("] execve(") && line.contains(&format!("\"{role}\""));
    text.lines().any(started)
}
