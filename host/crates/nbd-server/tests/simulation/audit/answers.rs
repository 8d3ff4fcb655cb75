//! The answer to each request.

use device::ExtentsOnError;
use device::fault::{Failure, Fault};
use nbd_proto::wire::command;
use nbd_proto::{CommandFlags, Errno};
use nbd_server::End;

use super::Audit;
use crate::ledger::{Ended, Entry};
use crate::requests::Asked;

impl Audit<'_> {
    pub(super) fn answers(&self) {
        for (number, entry) in self.book.entries.iter().enumerate() {
            if let Err(why) = self.answer(entry).and(self.order(entry)) {
                let Entry { asked, answer, .. } = entry;
                panic!(
                    "request {number} {why}: {asked:?} {answer:?} {:?}",
                    entry.results()
                );
            }
        }
        let torn = self.book.read_all.is_some_and(|all| all.torn);
        let may_tear = matches!(self.ended(), Ended::Cut | Ended::So(End::Stalled));
        assert!(!torn || may_tear, "a reply was cut off");
        self.first_of_a_stopped_server();
    }

    /// Checks the answer to a request, or its absence.
    fn answer(&self, entry: &Entry) -> Result<(), &'static str> {
        let given_up = entry.calls.iter().any(|call| call.ended.is_none());
        if given_up && self.ended() != Ended::Cut {
            return Err("was begun and not driven to its end");
        }
        let Some(answer) = entry.answer.map(|answer| answer.result) else {
            return self.missing_answer(entry);
        };
        let right = match entry.calls.last() {
            None => self.is_right_without_call(&entry.asked, answer),
            Some(call) => match &call.ended.as_ref().expect("all calls ended").1 {
                Ok(()) if entry.is_covered() => {
                    let lost = entry.asked.promises() && !self.pages.losses.is_empty();
                    answer == Ok(()) || lost && answer == Err(Errno::Eio)
                }
                // The time was up between two pieces.
                Ok(()) => matches!(answer, Err(Errno::Eio | Errno::Eshutdown)),
                Err(failure) => answer == self.failed(&entry.asked, failure),
            },
        };
        if right {
            Ok(())
        } else {
            Err("got a wrong answer")
        }
    }

    /// Whether this is a right answer to a request for which the server didn't call the device.
    fn is_right_without_call(&self, asked: &Asked, answer: Result<(), Errno>) -> bool {
        let hung_up = self.book.parted.is_some() || self.book.sent_nonsense;
        match answer {
            Err(Errno::Eshutdown) if self.pages.stopped.is_some() => true,
            Ok(()) => asked.needs_no_call(),
            Err(errno) if !asked.refusals.is_empty() => asked.refusals.contains(&errno),
            // A rate would have held it up for too long, or its client left while a rate held it up.
            Err(Errno::Eio) => self.has_rates && !asked.needs_no_call(),
            Err(Errno::Eshutdown) => self.has_rates && hung_up,
            Err(_) => false,
        }
    }

    /// The right answer after the device has failed.
    fn failed(&self, asked: &Asked, failure: &Failure) -> Result<(), Errno> {
        let nobodys = matches!(failure.fault, Fault::HungUp | Fault::Shutdown);
        let covers = self.schedule.extents_on_error == ExtentsOnError::Data && !nobodys;
        if asked.meant.kind == command::BLOCK_STATUS && covers {
            return Ok(());
        }
        let fast = asked.meant.kind == command::WRITE_ZEROES && asked.has(CommandFlags::FAST_ZERO);
        let whole = asked.meant.kind == command::READ && asked.has(CommandFlags::DF);
        Err(match failure.errno {
            Errno::Enotsup if !fast => Errno::Einval,
            Errno::Eoverflow if !whole => Errno::Einval,
            errno => errno,
        })
    }

    /// Checks that there was a reason not to answer a request.
    fn missing_answer(&self, entry: &Entry) -> Result<(), &'static str> {
        let Ended::So(end) = self.ended() else {
            return Ok(());
        };
        let reads = self.book.read_all.is_some();
        let all = matches!(end, End::Disconnected | End::HungUp | End::Broken);
        let begun = !entry.calls.is_empty() && end != End::Stalled;
        if reads && (begun || all && entry.whole_sent.is_some()) {
            return Err("has no answer");
        }
        Ok(())
    }

    /// The server begins no request that was sent after the server had stopped.
    fn order(&self, entry: &Entry) -> Result<(), &'static str> {
        let stopped = self
            .pages
            .stopped_tick
            .is_some_and(|stopped| stopped < entry.begun);
        if stopped && !entry.calls.is_empty() {
            return Err("was sent to a server that had stopped, and begun");
        }
        Ok(())
    }

    /// The server answers the first request that it hadn't begun when it stopped: it had read that one. It may not have
    /// read those behind it, nor the payload of a write.
    fn first_of_a_stopped_server(&self) {
        let (Some(stopped), Some(_)) = (self.pages.stopped, self.book.read_all) else {
            return;
        };
        let mut entries = self.book.entries.iter();
        let first = entries.find(|entry| entry.taken().is_none_or(|taken| taken >= stopped));
        if let Some(entry) = first
            && self.ended() == Ended::So(End::Stopped)
            && entry.asked.meant.kind != command::WRITE
        {
            let before = entry.whole_sent.is_some_and(|sent| sent < stopped);
            let answered = entry.answer.is_some();
            assert!(
                answered || !before,
                "no answer from a server that stops: {:?}",
                entry.asked
            );
        }
    }

    /// The client heard of each loss, before any success promised it durability.
    pub(super) fn losses(&self) {
        let Some(connected) = self.book.connected else {
            return;
        };
        let promises = self
            .book
            .entries
            .iter()
            .filter(|entry| entry.asked.promises());
        let answered: Vec<_> = promises
            .filter_map(|entry| Some((entry, entry.answer?)))
            .collect();
        for (entry, answer) in &answered {
            let lost = self.pages.losses.iter();
            let lost = lost
                .filter(|lost| connected < **lost && **lost < entry.begun)
                .max();
            let (Ok(()), Some(lost)) = (answer.result, lost) else {
                continue;
            };
            let told = answered.iter().any(|(_, other)| {
                other.result.is_err() && *lost < other.tick && other.tick < answer.tick
            });
            assert!(told, "the client heard of no loss before {:?}", entry.asked);
        }
    }
}

impl Entry {
    /// The results of its calls.
    fn results(&self) -> Vec<Option<Result<(), Errno>>> {
        let errno = |failure: &Failure| failure.errno;
        let results = self.calls.iter().map(|call| call.ended.as_ref());
        results
            .map(|ended| Some(ended?.1.as_ref().map(|_| ()).map_err(errno)))
            .collect()
    }

    /// Whether its calls cover its whole range.
    pub(super) fn is_covered(&self) -> bool {
        let covered: u64 = self.calls.iter().map(|call| call.length).sum();
        covered == self.asked.meant.length
    }
}

impl Asked {
    /// Whether it is a good request of no bytes: the server answers it, and calls nothing.
    pub(super) fn needs_no_call(&self) -> bool {
        let empty = self.meant.length == 0 && self.meant.kind != command::FLUSH;
        empty && self.refusals.is_empty()
    }
}
