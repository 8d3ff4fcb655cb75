//! The admin listener of a server under test, and curl.

use std::path::{Path, PathBuf};

use crate::{Run, Server, run};

/// The configuration's table for an admin listener; `FOLDER` stands for the server's folder.
pub const ADMIN: &str = "[admin]\nunix = \"FOLDER/admin\"\n";

/// The admin listener's socket.
#[must_use]
pub fn socket(server: &Server) -> PathBuf {
    server.folder().join("admin")
}

/// Runs curl over the admin listener's socket.
///
/// # Panics
/// curl isn't installed.
#[must_use]
pub fn curl(socket: &Path, arguments: &[&str]) -> Run {
    let socket = socket.to_str().unwrap();
    let all = ["--silent", "--show-error", "--unix-socket", socket];
    run("curl", all.iter().chain(arguments))
}

/// The admin listener's answer to a GET of `path`.
///
/// # Panics
/// The answer is an error.
#[must_use]
pub fn get(server: &Server, path: &str) -> String {
    let url = format!("http://localhost{path}");
    curl(&socket(server), &["--fail", &url]).ok()
}

/// The value of one sample; `None` if there is no such sample.
///
/// # Panics
/// The value isn't a number.
#[must_use]
pub fn sample(text: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let has = |line: &&str| {
        let label = |(key, value): &(&str, &str)| line.contains(&format!("{key}=\"{value}\""));
        let names_it = line.split(['{', ' ']).next() == Some(name);
        names_it && labels.iter().all(label)
    };
    let line = text.lines().find(has)?;
    Some(line.rsplit(' ').next().unwrap().parse().unwrap())
}
