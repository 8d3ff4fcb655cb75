//! The kernel's figures of a process (proc(5)).

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, anyhow};

/// The CPU time of a process and its descendants, including threads that have ended, in steps of a clock tick (10 ms).
/// nbdbox is two processes: the keeper and the server.
pub(crate) fn cpu_time(pid: u32) -> anyhow::Result<Duration> {
    tree(pid).into_iter().map(cpu_time_of_one).sum()
}

fn cpu_time_of_one(pid: u32) -> anyhow::Result<Duration> {
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

/// The most memory that a process and its descendants ever had resident, in KiB: the sum of each one's most.
pub(crate) fn peak(pid: u32) -> anyhow::Result<u64> {
    let of_one = |pid| field(&format!("/proc/{pid}/status"), &["VmHWM:"]);
    tree(pid).into_iter().map(of_one).sum()
}

/// The memory that no other process shares, of a process and its descendants, in KiB.
pub(crate) fn private(pid: u32) -> anyhow::Result<u64> {
    let of_one = |pid| {
        field(
            &format!("/proc/{pid}/smaps_rollup"),
            &["Private_Clean:", "Private_Dirty:"],
        )
    };
    tree(pid).into_iter().map(of_one).sum()
}

/// The process and its descendants.
fn tree(pid: u32) -> Vec<u32> {
    let mut all = vec![pid];
    let mut next = 0;
    while let Some(pid) = all.get(next).copied() {
        next += 1;
        for thread in threads(pid) {
            let children = fs::read_to_string(format!("/proc/{pid}/task/{thread}/children"));
            let children = children.unwrap_or_default();
            all.extend(children.split_whitespace().flat_map(str::parse::<u32>));
        }
    }
    all
}

fn threads(pid: u32) -> Vec<u32> {
    let entries = fs::read_dir(format!("/proc/{pid}/task"));
    let entries = entries.into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
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
