//! Rules about what the other rules' calls used.

use std::time::Duration;

use nbdbox_config::limits::{HANDLES, PIECES};
use nbdbox_config::size::Bytes;

use super::bench::Bench;
use super::subject::Subject;
use super::verdict::{Checked, broken};

/// The host stopped no call and found no fault of the plugin in the rules before.
pub(super) fn faults<S: Subject>(bench: &Bench<'_, S>) -> Checked {
    match &bench.stock.faults[..] {
        [] => Ok(format!("{} calls", bench.stock.calls)),
        [first, rest @ ..] => broken(format!("{first} (and {} more)", rest.len())),
    }
}

/// The memory of one instance, in bytes.
pub(super) fn memory<S: Subject>(bench: &Bench<'_, S>) -> Checked {
    let limit = bench.terms().limits.memory;
    let used = bench.stock.memory;
    let seen = format!("{} of {}", Bytes(used), Bytes(limit));
    judge(used, limit, seen)
}

/// The CPU time of one call, against the budget of a call without payload.
pub(super) fn cpu_time<S: Subject>(bench: &Bench<'_, S>) -> Checked {
    let limit = bench.terms().limits.cpu_for(bench.largest());
    let used = bench.stock.cpu;
    let seen = match used {
        Duration::ZERO => format!("less than 1 ms of {} ms", limit.as_millis()),
        used => format!("{} of {} ms", used.as_millis(), limit.as_millis()),
    };
    let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    judge(nanos(used), nanos(limit), seen)
}

/// The live handles of one instance.
pub(super) fn handles<S: Subject>(bench: &Bench<'_, S>) -> Checked {
    let used = bench.stock.handles;
    judge(used.into(), HANDLES.into(), format!("{used} of {HANDLES}"))
}

/// The adds in one report.
pub(super) fn extents<S: Subject>(bench: &Bench<'_, S>) -> Checked {
    let most = bench.terms().limits.extents as u64;
    let budget = most.saturating_mul(4).saturating_add(64);
    let used = bench.stock.adds;
    judge(used, budget, format!("{used} of {budget}"))
}

/// The pieces in one reply.
pub(super) fn pieces<S: Subject>(bench: &Bench<'_, S>) -> Checked {
    let used = bench.stock.pieces;
    judge(used as u64, PIECES as u64, format!("{used} of {PIECES}"))
}

/// A rule is kept if a fifth of the limit is left.
fn judge(used: u64, limit: u64, seen: String) -> Checked {
    if u128::from(used) * 5 > u128::from(limit) * 4 {
        broken(seen)
    } else {
        Ok(seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_has_to_be_left() {
        assert!(judge(80, 100, String::new()).is_ok());
        assert!(judge(81, 100, String::new()).is_err());
        assert!(judge(u64::MAX, u64::MAX, String::new()).is_err());
    }
}
