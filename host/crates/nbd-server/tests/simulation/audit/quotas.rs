//! The quotas: nobody takes too much, and everything comes back.

use crate::exports::Exports;
use crate::ledger::Pages;
use crate::schedule::Schedule;

use super::MILLISECOND;

/// The burst that a rate allows after a pause, in seconds.
const BURST: f64 = 0.1;

/// All requests together kept to the rates of the export and the tenant.
pub(super) fn rates_were_kept(schedule: &Schedule, pages: &Pages) {
    let least = |one: Option<u64>, other: Option<u64>| one.into_iter().chain(other).min();
    let iops = least(schedule.limits.iops, schedule.tenant.iops);
    let bandwidth = least(schedule.limits.bandwidth, schedule.tenant.bandwidth);
    let entries = pages.books.iter().flat_map(|book| &book.entries);
    let begun = entries.filter_map(|entry| Some((entry.calls.first()?.begun, entry.weight())));
    let begun: Vec<_> = begun.collect();
    let times = || begun.iter().map(|(at, _)| *at);
    let (Some(first), Some(last)) = (times().min(), times().max()) else {
        return;
    };
    // A timer may fire a millisecond late, and the last request may be larger than the rate allows.
    let time = (last - first + MILLISECOND).as_secs_f64() + BURST;
    let most = |rate: Option<u64>| rate.map_or(f64::INFINITY, |rate| time * rate as f64);
    let sizes = || begun.iter().map(|(_, bytes)| *bytes);
    let bytes = sizes().sum::<u64>() - sizes().max().unwrap_or(0);
    let fits = begun.len() as f64 <= most(iops) + 2.0 && bytes as f64 <= most(bandwidth);
    assert!(
        fits,
        "{} requests and {bytes} bytes in {time} s",
        begun.len()
    );
}

/// Nothing holds any part of a quota, and each level is back at zero.
pub(super) fn all_was_given_back(exports: &Exports) {
    let Exports {
        metrics,
        quota,
        process,
        ..
    } = exports;
    let flows = quota.flows().into_iter().flatten();
    for flow in flows.chain([&quota.tenant.flow]) {
        assert_eq!(flow.used(), (0, 0), "requests and bytes are under way");
    }
    assert_eq!(quota.memory.used(), 0, "memory of the export");
    assert_eq!(quota.tenant.memory.used(), 0, "memory of the tenant");
    assert_eq!(process.memory.used(), 0, "memory of the process");
    assert_eq!(
        quota.tenant.connections.used(),
        0,
        "connections of the tenant"
    );
    assert_eq!(metrics.connections.now(), 0, "connections");
    assert_eq!(metrics.kept.now(), 0, "kept memory");
}

/// The metrics count each request once. They can be compared only if each request has an answer, and the server didn't
/// stop: then it doesn't count bad requests.
pub(super) fn all_was_counted(pages: &Pages, exports: &Exports) {
    let entries = || pages.books.iter().flat_map(|book| &book.entries);
    if pages.stopped.is_some() || entries().any(|entry| entry.answer.is_none()) {
        return;
    }
    let counted = exports.metrics.operations.total() + exports.metrics.refused.get();
    let all = entries()
        .filter(|entry| !entry.asked.needs_no_call())
        .count();
    assert_eq!(counted, all as u64, "counted requests");
}
