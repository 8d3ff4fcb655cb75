//! The outcome as text: a line, and SHARES.md.

use std::fmt::Write as _;

use super::{FIFTH, Outcome, SETTLING, WINDOW, WINDOWS};
use crate::machine;
use crate::scene::Scene;

/// The outcome for one kind of server in one line, to show progress.
pub(super) fn line(outcome: &Outcome) -> String {
    let [alone, beside] = [false, true].map(|attacked| figures(outcome, attacked));
    format!(
        "{}: alone {:.0}/s, p99 {:.2} ms; with the others {:.0}/s, p99 {:.2} ms: {:.0} % of its share",
        outcome.label,
        alone.0,
        alone.1,
        beside.0,
        beside.1,
        100.0 * outcome.kept()
    )
}

/// Reads a second, and p99 in milliseconds.
fn figures(outcome: &Outcome, attacked: bool) -> (f64, f64) {
    (
        outcome.middle(attacked, |one| one.rate),
        outcome.middle(attacked, |one| one.p99.as_secs_f64() * 1e3),
    )
}

fn table(outcomes: &[Outcome]) -> String {
    let mut text = String::from(
        "| | alone: reads/s | p99 ms | its share: reads/s | with the others: reads/s | p99 ms | of its share |\n\
         |---|---:|---:|---:|---:|---:|---:|\n",
    );
    for outcome in outcomes {
        let (alone, alone_p99) = figures(outcome, false);
        let (beside, beside_p99) = figures(outcome, true);
        // Writing to a string can't fail.
        let _ = writeln!(
            text,
            "| {} | {alone:.0} | {alone_p99:.2} | {:.0} | {beside:.0} | {beside_p99:.2} | {:.0} % |",
            outcome.label,
            outcome.promised(),
            100.0 * outcome.kept(),
        );
    }
    text
}

/// The text of SHARES.md.
pub(super) fn document(scene: &Scene, outcomes: &[Outcome]) -> String {
    let [before, with, after] = WINDOWS;
    format!(
        "# What a tenant keeps while others misbehave\n\nMade by `make shares`. {machine} `{program}`.\n\n{table}\n\
         ![throughput and p99 over time](shares.svg)\n\n## Method\n\n\
         Five tenants of equal weight, with default limits:\n\n\
         - one **loops**: 4 connections whose every read makes its plugin compute endlessly (with nbdbox, until \
         its CPU time is up);\n\
         - one **allocates**: 4 connections whose every read makes its plugin take memory, up to the 64 MiB that \
         nbdbox allows it, and as much with nbdkit;\n\
         - one **floods**: 16 connections, each always with 64 reads of 4 KiB in flight;\n\
         - one **reads slowly**: 4 connections that request 64 MiB each and take 40 KiB a second;\n\
         - the **fifth** reads 4 KiB at random offsets on {connections} connections with {depth} requests in \
         flight on each, from the plugin `pattern`, which computes every byte.\n\n\
         With nbdbox they are tenants of one process. With nbdkit each has a process of its own, with the \
         plugins `eval` (a shell script that loops or allocates) and `pattern`. All servers together have one \
         core; the load generators have another, where the attackers run at nice 19 relative to the fifth. So \
         the fifth's throughput depends on the servers alone.\n\n\
         *Alone*: the fifth keeps the core busy by itself. *Its share*: what its weight promises of that, a \
         fifth. *With the others*: its throughput while the four misbehave; it can exceed the share, because the \
         fifth also gets what the others leave. A figure is the median of windows of {window} ms: {before} \
         before the attacks, {with} during them (from {settling} s after their start) and {after} after them. \
         The run fails below 80 % of the share.\n",
        machine = machine::describe_scene(),
        program = scene.nbdbox.display(),
        table = table(outcomes),
        connections = FIFTH.connections,
        depth = FIFTH.depth,
        window = WINDOW.as_millis(),
        settling = SETTLING.as_secs(),
    )
}
