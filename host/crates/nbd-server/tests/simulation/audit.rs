//! The promises that can be checked when a schedule is over.

mod answers;
mod queues;
mod quotas;
mod times;

use std::time::Duration;

use nbd_server::End;
use tokio::time::Instant;

use crate::exports::Exports;
use crate::ledger::{Book, Ended, Pages};
use crate::schedule::{ClientPlan, Ending, Reading, Schedule};

/// The resolution of tokio's timers.
const MILLISECOND: Duration = Duration::from_millis(1);

/// Checks all promises.
///
/// # Panics
/// The schedule broke a promise.
pub(crate) fn audit(schedule: &Schedule, pages: &Pages, exports: &Exports) {
    for (number, plan) in schedule.clients.iter().enumerate() {
        let audit = Audit {
            schedule,
            plan,
            pages,
            book: &pages.books[number],
            has_rates: exports.has_rates(),
        };
        audit.end();
        audit.leave();
        audit.times();
        audit.answers();
        audit.losses();
    }
    queues::nobody_waited_for_nothing(schedule, pages);
    quotas::rates_were_kept(schedule, pages);
    quotas::all_was_given_back(exports);
    quotas::all_was_counted(pages, exports);
}

/// The audit of one client.
struct Audit<'a> {
    schedule: &'a Schedule,
    plan: &'a ClientPlan,
    pages: &'a Pages,
    book: &'a Book,
    has_rates: bool,
}

impl Audit<'_> {
    fn ended(&self) -> Ended {
        self.book.ended.expect("each connection ends").1
    }

    fn ended_at(&self) -> Instant {
        self.book.ended.expect("each connection ends").0
    }

    /// Whether the client reads every reply at once.
    fn reads_at_once(&self) -> bool {
        matches!(self.plan.reading, Reading::AtOnce)
    }

    /// The connection ended as it did for a reason.
    fn end(&self) {
        let book = self.book;
        let stopped = self.pages.stopped.is_some();
        let pauses = self.plan.pause > self.schedule.limits.stall;
        let stalls = pauses || self.plan.ending == Ending::Silence || !self.reads_at_once();
        let reason = match self.ended() {
            Ended::Cut | Ended::So(End::Stopped) => stopped,
            Ended::Failed => book.connected.is_none() && book.parted.is_some(),
            Ended::So(end) => match end {
                End::Handshake | End::TimedOut => book.connected.is_none(),
                End::Displaced => false,
                End::Disconnected => book.disconnected,
                End::HungUp => book.parted.is_some(),
                End::Broken => {
                    book.sent_nonsense || book.parted.is_some_and(|parted| parted.midway)
                }
                End::Idle => self.schedule.limits.idle.is_some(),
                End::Stalled => self.schedule.is_shared() && stalls,
                End::Stopped => stopped,
            },
        };
        assert!(reason, "no reason to end so: {:?}", self.ended());
    }

    /// The device took leave of the client once, after all requests.
    fn leave(&self) {
        let Book {
            connected,
            guests,
            leaves,
            entries,
            ..
        } = self.book;
        assert_eq!(*guests, 0, "the export still keeps something for a client");
        let calls = entries.iter().any(|entry| !entry.calls.is_empty());
        if self.ended() == Ended::Cut {
            assert!(leaves.0 <= 1);
        } else if connected.is_some() || calls {
            assert_eq!(
                *leaves,
                (1, 1),
                "the device takes leave of each client once"
            );
        }
    }
}
