//! The times at which connections and requests end.

use std::time::Duration;

use device::fault::{Cause, Fault};
use nbd_server::End;
use tokio::time::Instant;

use super::{Audit, MILLISECOND};
use crate::ledger::{Call, Ended, Entry};

/// Time that the server gives a client to close its stream.
const LINGER: Duration = Duration::from_secs(1);

/// Time that a stopping server gives a client for its next option.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The most options that a client sends.
const OPTIONS: u32 = 10;

impl Audit<'_> {
    pub(super) fn times(&self) {
        if self.book.connected.is_none() && self.book.leaves.0 == 0 {
            self.handshake_time();
        }
        self.end_time();
        self.drain_time();
        self.idle_time();
        for entry in &self.book.entries {
            if self.reads_at_once() {
                self.was_prompt(entry);
            }
            for call in &entry.calls {
                self.was_in_time(entry, call);
            }
        }
    }

    /// The time from a moment to the end of the connection.
    fn since(&self, at: Instant) -> Duration {
        let arrived = self.book.arrived.expect("it has come");
        self.ended_at().saturating_duration_since(at.max(arrived))
    }

    fn handshake_time(&self) {
        let arrived = self.book.arrived.expect("it has come");
        let took = self.since(arrived);
        let most = self.schedule.limits.handshake + MILLISECOND;
        assert!(took <= most, "a handshake took {took:?}");
        if let Some(stopped) = self.pages.stopped.filter(|_| !self.plan.hasty) {
            let last = self
                .book
                .last_sent
                .map_or(stopped, |sent| sent.max(stopped));
            let most = LAST_WORDS + OPTIONS * self.schedule.disk.around + MILLISECOND;
            let took = self.since(last);
            assert!(
                took <= most,
                "a handshake went on for {took:?} after its server"
            );
        }
    }

    /// The connection ended soon after the client had read all, or had left.
    fn end_time(&self) {
        if let Some(all) = self.book.read_all {
            let late = self.since(all.at);
            assert!(
                late <= LINGER + MILLISECOND,
                "it went on for {late:?} after its last reply"
            );
        }
        if let Some(parted) = self.book.parted
            && self.book.connected.is_some()
            && !parted.half
        {
            let (late, most) = (self.since(parted.at), self.schedule.hung_up());
            assert!(
                late <= most,
                "it ended {late:?} after its client, not {most:?}"
            );
        }
    }

    /// The connection ended soon after the server had stopped.
    fn drain_time(&self) {
        let (Some(stop), Some(stopped)) = (self.schedule.stop, self.pages.stopped) else {
            return;
        };
        let (late, most) = (self.since(stopped), self.schedule.drained());
        assert!(
            late <= stop.drain + MILLISECOND,
            "it was to be drained by then"
        );
        if !self.reads_at_once() || self.schedule.is_shared() {
            return;
        }
        let cut = self.ended() == Ended::Cut;
        let could = stop.drain > most + self.schedule.limits.handshake;
        assert!(!(cut && could), "it could have been drained");
        let drained = cut || self.book.connected.is_none() || late <= most;
        assert!(drained, "it ended {late:?} after its server, not {most:?}");
    }

    /// No connection is idle while a request is under way.
    fn idle_time(&self) {
        let (End::Idle, Some(idle)) = (self.end_or_stopped(), self.schedule.limits.idle) else {
            return;
        };
        let calls = self.book.entries.iter().flat_map(|entry| &entry.calls);
        if let Some(last) = calls.filter_map(|call| Some(call.ended.as_ref()?.0)).max() {
            let since = self.since(last);
            assert!(since >= idle, "idle {since:?} after a request");
        }
    }

    fn end_or_stopped(&self) -> End {
        match self.ended() {
            Ended::So(end) => end,
            Ended::Failed | Ended::Cut => End::Stopped,
        }
    }

    /// The server began a request at once, if there was room for it, and sent its reply at once.
    fn was_prompt(&self, entry: &Entry) {
        let (Some(first), Some(last)) = (entry.calls.first(), entry.calls.last()) else {
            return;
        };
        if let (Some((ended, _)), Some(answer)) = (&last.ended, &entry.answer)
            && entry.is_covered()
        {
            assert_eq!(answer.at, *ended, "a late reply to {:?}", entry.asked);
        }
        if let Some(sent) = entry.whole_sent
            && self.schedule.is_roomy()
            && !self.has_rates
        {
            let begun = first.begun.saturating_duration_since(sent);
            assert!(begun.is_zero(), "{:?} waited for {begun:?}", entry.asked);
        }
    }

    /// A call was given up when its time was up or its client had left, not earlier and not later.
    fn was_in_time(&self, entry: &Entry, call: &Call) {
        let Some((ended, result)) = &call.ended else {
            return;
        };
        let asked = &entry.asked;
        let gone = self.book.parted.is_some() || self.book.sent_nonsense;
        let gone = gone || self.ended() == Ended::So(End::Stalled);
        let right = match result.as_ref().map_err(|failure| failure.fault) {
            Err(Fault::Plugin(Cause::WallTime)) => {
                *ended - entry.begun_at >= self.schedule.limits.wall
            }
            Err(Fault::HungUp) => gone,
            _ => true,
        };
        assert!(right, "given up too early: {asked:?}");
        let notices = matches!(self.ended(), Ended::So(End::HungUp | End::Broken));
        if let Some(parted) = self.book.parted
            && notices
            && !self.book.disconnected
            && self.schedule.is_roomy()
            && (self.reads_at_once() || !parted.half)
        {
            let most = call
                .stood_still
                .map_or(parted.at, |still| still.max(parted.at));
            assert!(
                *ended <= most,
                "it wasn't given up with its client: {asked:?} {:?} {parted:?} {ended:?}",
                call.stood_still
            );
        }
    }
}
