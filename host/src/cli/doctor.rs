//! `nbdbox doctor`: shows the walls and resources of this machine, and how an operator can change them.

use std::fs;
use std::process::ExitCode;

use clap::Args;
use nbdbox_config::size::Bytes;
use rustix::process::Resource;
use sandbox::Kernel;

use crate::machine;

/// Shows what this machine gives a server: the kernel's walls, memory, descriptors, mappings, cores.
///
/// Each line has a value and what another one would change. The status is 1 if the sandbox has gaps.
#[derive(Debug, Args)]
pub(super) struct Doctor {}

/// One line: the resource, its value, and the effect of the value.
type Finding = (&'static str, String, String);

impl Doctor {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        let kernel = Kernel::ask();
        let findings = [
            landlock(&kernel),
            seccomp(&kernel),
            cores(),
            memory(),
            page_cache(),
            descriptors(),
            mappings(),
        ];
        for (what, value, meaning) in findings {
            super::print(&format!("{what:<12} {value:<16} {meaning}\n"))?;
        }
        let whole = kernel.paths.is_empty() && kernel.calls.is_empty();
        Ok(if whole {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

fn landlock(kernel: &Kernel) -> Finding {
    match &kernel.paths[..] {
        [] => (
            "landlock",
            "complete".to_owned(),
            "the process that runs plugins can open no path and no TCP port".to_owned(),
        ),
        missing => (
            "landlock",
            "incomplete".to_owned(),
            format!(
                "missing: {}; a newer kernel closes the gap, and --sandbox=require refuses this one",
                missing.join("; ")
            ),
        ),
    }
}

fn seccomp(kernel: &Kernel) -> Finding {
    match &kernel.calls[..] {
        [] => (
            "seccomp",
            "complete".to_owned(),
            "the process that runs plugins can make only the system calls of serving".to_owned(),
        ),
        missing => (
            "seccomp",
            "missing".to_owned(),
            format!(
                "{}; --sandbox=require refuses this kernel",
                missing.join("; ")
            ),
        ),
    }
}

fn cores() -> Finding {
    (
        "cores",
        machine::cores().to_string(),
        "one worker thread each; --threads sets another number".to_owned(),
    )
}

fn memory() -> Finding {
    (
        "memory",
        Bytes(machine::memory_budget(None)).to_string(),
        "for all tenants together: 80 % of what the control group or the machine has; --memory or `memory` sets it"
            .to_owned(),
    )
}

fn page_cache() -> Finding {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kibibytes = text
        .lines()
        .find_map(|line| line.strip_prefix("Cached:"))
        .and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    (
        "page cache",
        kibibytes.map_or("unknown".to_owned(), |cached| {
            Bytes(cached << 10).to_string()
        }),
        "reads of granted files that are in it wait for no disk; it shrinks as memory is used"
            .to_owned(),
    )
}

fn descriptors() -> Finding {
    let hard = rustix::process::getrlimit(Resource::Nofile).maximum;
    (
        "descriptors",
        hard.map_or("unlimited".to_owned(), |hard| hard.to_string()),
        "one for each client and each granted file; LimitNOFILE= or `ulimit -Hn` raises it"
            .to_owned(),
    )
}

fn mappings() -> Finding {
    (
        "mappings",
        machine::max_mappings().to_string(),
        "an instance of a plugin takes a few; sysctl vm.max_map_count raises it".to_owned(),
    )
}
