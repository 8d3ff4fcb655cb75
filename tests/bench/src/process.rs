//! The kernel's figures of a process (proc(5)).

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, anyhow};

/// The CPU time of all threads, including those that have ended, in steps of a clock tick (10 ms).
pub(crate) fn cpu_time(pid: u32) -> anyhow::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name before these fields, in parentheses, may have any characters.
    let fields = stat.rsplit_once(')').context("a line of /proc/PID/stat")?.1;
    let ticks: u64 = fields
        .split_ascii_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Ok(Duration::from_millis(10) * u32::try_from(ticks)?)
}

/// The most memory that the process ever had resident, in KiB.
pub(crate) fn peak(pid: u32) -> anyhow::Result<u64> {
    field(&format!("/proc/{pid}/status"), &["VmHWM:"])
}

/// The memory that no other process shares, in KiB.
pub(crate) fn private(pid: u32) -> anyhow::Result<u64> {
    field(
        &format!("/proc/{pid}/smaps_rollup"),
        &["Private_Clean:", "Private_Dirty:"],
    )
}

fn field(path: &str, names: &[&str]) -> anyhow::Result<u64> {
    let text = fs::read_to_string(path)?;
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok())
            .ok_or_else(|| anyhow!("{path} has no {name}"))
    };
    names.iter().map(|name| value(name)).sum()
}
