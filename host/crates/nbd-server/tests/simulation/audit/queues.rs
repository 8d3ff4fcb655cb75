//! The queue for admission: a request waits only as long as there is no room for it.

use nbd_proto::wire::command;
use nbd_server::End;
use tokio::time::Instant;

use super::MILLISECOND;
use crate::ledger::{Book, Ended, Entry, Pages};
use crate::schedule::Schedule;

/// The time for which a request took up room.
struct Stay {
    from: Instant,
    until: Instant,
    /// If it is a write whose rest never came: the moment when its last byte came.
    stalled: Option<Instant>,
}

/// In a crowd, where only the number of requests limits the clients: while a request waited, that number of requests
/// was under way. Those of a client that had left don't count, nor those of a client that had stalled for too long.
pub(super) fn nobody_waited_for_nothing(schedule: &Schedule, pages: &Pages) {
    let Some(most) = schedule.crowd else {
        return;
    };
    let most = usize::try_from(most).unwrap();
    let stays = pages
        .books
        .iter()
        .flat_map(|book| stays(book, pages.stopped));
    let stays: Vec<_> = stays.collect();
    let stays_at = |at: Instant| {
        stays
            .iter()
            .filter(move |stay| stay.from <= at && at < stay.until)
    };
    for book in &pages.books {
        for (waits, taken, entry) in waits(book) {
            let over = |stay: &Stay| {
                let since = stay.stalled?;
                let admitted = stays_at(since).count() <= most;
                let over = waits.max(since + schedule.limits.stall) + 2 * MILLISECOND;
                admitted.then_some(over)
            };
            let ends = stays
                .iter()
                .map(|stay| stay.until)
                .chain(stays.iter().filter_map(over));
            let moments = ends
                .filter(|end| waits < *end && *end < taken)
                .chain([waits]);
            for at in moments {
                let holds = |stay: &&Stay| over(stay).is_none_or(|over| at < over);
                let count = stays_at(at).filter(holds).count();
                assert!(
                    count >= most,
                    "{:?} waited while {count} were under way",
                    entry.asked
                );
            }
        }
    }
}

/// The room that a client's requests took up.
fn stays(book: &Book, stopped: Option<Instant>) -> impl Iterator<Item = Stay> {
    let calls = book.entries.iter().flat_map(|entry| &entry.calls);
    let last = calls.filter_map(|call| Some(call.ended.as_ref()?.0)).max();
    book.entries.iter().filter_map(move |entry| {
        let (ended, how) = book.ended?;
        let gone = match how {
            // A server that stops doesn't wait for the rest of a write.
            Ended::So(End::Stopped) => stopped.max(last)?,
            _ => book.parted.map_or(ended, |parted| parted.at),
        };
        let called = entry.calls.first().map(|call| call.begun);
        let is_write = entry.asked.meant.kind == command::WRITE && entry.asked.change().is_some();
        let from = if is_write { entry.header_sent } else { called };
        let stalled = is_write && entry.whole_sent.is_none() && book.last_sent.is_some();
        let last = entry.calls.last();
        let until = match last {
            Some(call) => call.ended.as_ref().map_or(ended, |(ended, _)| *ended),
            None => entry.answer.map_or(gone, |answer| answer.at),
        };
        Some(Stay {
            from: from?,
            until,
            stalled: book.last_sent.filter(|_| stalled),
        })
    })
}

/// The requests of a client that waited for others, with the begin and the end of the wait.
fn waits(book: &Book) -> impl Iterator<Item = (Instant, Instant, &Entry)> {
    let mut before = None;
    book.entries.iter().filter_map(move |entry| {
        let (sent, taken) = (entry.whole_sent?, entry.taken()?);
        // The server begins the requests of one client in their order.
        let first = before.map_or(sent, |before| sent.max(before));
        before = Some(before.map_or(taken, |before: Instant| before.max(taken)));
        (first < taken).then_some((first, taken, entry))
    })
}
