//! Describes the machine of a measurement in one line.

use std::fs;
use std::process::Command;

use crate::cores::Cores;

pub(crate) fn describe(rounds: u32, seconds: f64, cores: Option<Cores>) -> String {
    let pinned = match cores {
        Some(Cores { server, client }) => {
            format!("In pinned rows the server has core {server}, and the client core {client}.")
        }
        None => "This machine has one core, so nothing is pinned.".to_owned(),
    };
    format!(
        "{}; {}; {}; {}. {rounds} rounds of {seconds} s on each server. {pinned}",
        hardware(),
        said("nbdkit", &["--version"]),
        said("qemu-nbd", &["--version"]),
        said("fio", &["--version"]),
    )
}

/// The description without the settings that only rows have.
pub(crate) fn describe_scene() -> String {
    format!("{}; {}.", hardware(), said("nbdkit", &["--version"]))
}

/// Date, processor and kernel.
fn hardware() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown", |(_, name)| name);
    // All cores of the machine, not only those that this process may use.
    let is_core = |line: &&str| line.starts_with("processor");
    let cores = cpuinfo.lines().filter(is_core).count();
    format!(
        "{}; {model}, {cores} cores; Linux {}",
        said("date", &["-u", "+%Y-%m-%d"]),
        said("uname", &["-r"]),
    )
}

/// The first line that a program prints.
fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().ok();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let line = text.and_then(|text| text.lines().next().map(str::to_owned));
    line.unwrap_or_else(|| format!("{program}: unknown"))
}
