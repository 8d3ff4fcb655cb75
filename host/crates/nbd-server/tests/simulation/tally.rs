//! A count of the events that the schedules are drawn for. A simulation without them would show nothing.

use std::collections::BTreeMap;

use nbd_proto::wire::command;

use crate::exports::Exports;
use crate::ledger::{Ended, Pages};

/// Events that many schedules must contain.
const ALL: &[&str] = &[
    "connection disconnected",
    "connection hung-up",
    "connection broken",
    "connection idle",
    "connection stalled",
    "connection stopped",
    "connection handshake",
    "connection timed-out",
    "connection Failed",
    "connection Cut",
    "READ",
    "WRITE",
    "FLUSH",
    "TRIM",
    "CACHE",
    "WRITE_ZEROES",
    "BLOCK_STATUS",
    "EPERM",
    "EIO",
    "ENOMEM",
    "EINVAL",
    "ENOSPC",
    "ESHUTDOWN",
    "no answer",
    "in pieces",
    "dropped midway",
    "waited for admission",
    "waited for a rate",
    "data for extents that failed",
    "kept memory",
    "loss",
];

/// The number of events of each name.
#[derive(Debug, Default)]
pub(crate) struct Tally(BTreeMap<String, u64>);

impl Tally {
    /// The events of one schedule.
    pub(crate) fn of(pages: &Pages, exports: &Exports) -> Self {
        let mut tally = Self::default();
        for book in &pages.books {
            tally.one(&match book.ended {
                Some((_, Ended::So(end))) => format!("connection {}", end.name()),
                Some((_, ended)) => format!("connection {ended:?}"),
                None => continue,
            });
            for entry in &book.entries {
                tally.one(match entry.answer.map(|answer| answer.result) {
                    Some(Ok(())) => name(entry.asked.meant.kind),
                    Some(Err(errno)) => errno.name(),
                    None => "no answer",
                });
                if entry.calls.len() > 1 {
                    tally.one("in pieces");
                }
                if entry.calls.iter().any(|call| call.ended.is_none()) {
                    tally.one("dropped midway");
                }
            }
        }
        for (name, count) in [
            (
                "waited for admission",
                exports.metrics.admission_waits.count(),
            ),
            ("waited for a rate", exports.metrics.rate_waits.count()),
            (
                "data for extents that failed",
                exports.metrics.extents_fallbacks.get(),
            ),
            ("kept memory", exports.metrics.kept.peak()),
            ("loss", pages.losses.len() as u64),
        ] {
            if count > 0 {
                tally.one(name);
            }
        }
        tally
    }

    fn one(&mut self, name: &str) {
        *self.0.entry(name.to_owned()).or_default() += 1;
    }

    pub(crate) fn add(&mut self, other: Self) {
        for (name, count) in other.0 {
            *self.0.entry(name).or_default() += count;
        }
    }

    /// Checks that no event is missing.
    pub(crate) fn check(&self) {
        for name in ALL {
            assert!(
                self.0.contains_key(*name),
                "no schedule had this event: {name}, {self:#?}"
            );
        }
    }
}

/// The name of a command.
fn name(kind: u16) -> &'static str {
    match kind {
        command::READ => "READ",
        command::WRITE => "WRITE",
        command::FLUSH => "FLUSH",
        command::TRIM => "TRIM",
        command::CACHE => "CACHE",
        command::WRITE_ZEROES => "WRITE_ZEROES",
        command::BLOCK_STATUS => "BLOCK_STATUS",
        _ => "unknown",
    }
}
