//! The replies to a client. Each must belong to a request, and its content must be possible.

use nbd_proto::client::{Body, Reply, decode};
use nbd_proto::wire::command;
use nbd_proto::{CommandFlags, Cookie, Errno, StateFlags};
use tokio::io::{AsyncReadExt as _, DuplexStream, ReadHalf};
use tokio::time::{Instant, sleep};

use super::Client;
use crate::history::History;
use crate::ledger::{Answer, Entry};
use crate::requests::Agreed;
use crate::schedule::Reading;

/// Bytes that a client reads at once, unless its plan sets fewer.
const READ: usize = 64 << 10;

impl Client {
    /// Reads replies to the end of the stream. Never ends if the client stops reading before that.
    pub(super) async fn listen(
        &self,
        read: &mut ReadHalf<DuplexStream>,
        mut received: Vec<u8>,
        agreed: Agreed,
    ) {
        let mut heard = 0;
        loop {
            let mut used = 0;
            while let Some(more) = self.take_reply(&received[used..], agreed) {
                used += more;
            }
            received.drain(..used);
            let most = match self.plan.reading {
                Reading::AtOnce => READ,
                Reading::Slow(bytes, pause) => {
                    sleep(pause).await;
                    bytes
                }
                Reading::Until(bytes) => bytes.saturating_sub(heard),
            };
            if most == 0 {
                std::future::pending::<()>().await;
            }
            let mut part = read.take(most as u64);
            let count = part.read_buf(&mut received).await.unwrap_or(0);
            if count == 0 {
                let halves = {
                    let entries = &self.ledger.open().books[self.number].entries;
                    entries.iter().any(Entry::is_half_answered)
                };
                self.note_end(halves || !received.is_empty());
                return;
            }
            heard += count;
            self.ledger.open().books[self.number].heard = heard;
        }
    }

    /// Takes the reply, or the chunk of a reply, at the front of `input`. Returns its length in bytes, or `None` if the
    /// rest hasn't come.
    fn take_reply(&self, input: &[u8], agreed: Agreed) -> Option<usize> {
        let mut pages = self.ledger.open();
        let entries = &pages.books[self.number].entries;
        let of = |cookie: Cookie| {
            let is_meant = |entry: &Entry| {
                entry.asked.meant.cookie == cookie
                    && entry.answer.is_none()
                    && entry.header_sent.is_some()
            };
            entries.iter().position(is_meant)
        };
        let find = |cookie| of(cookie).map(|entry| entries[entry].asked.meant);
        let reply = decode(agreed.framing, input, find).unwrap()?;
        let number = of(reply.cookie).unwrap();
        let data = match reply.body {
            Body::Data { length, .. } => usize::try_from(length).unwrap(),
            _ => 0,
        };
        let bytes = input.get(reply.used..reply.used + data)?;
        let words = format_args!("gets for {number}: {:?}, done {}", reply.body, reply.done);
        let tick = pages.note_of(self.number, words);
        let used = reply.used + data;
        let pages = &mut *pages;
        let entry = &mut pages.books[self.number].entries[number];
        if let Some(answer) = entry.note_reply(reply, bytes, agreed) {
            let at = Instant::now();
            let result = answer;
            entry.answer = Some(Answer { tick, at, result });
            if answer.is_ok() {
                entry.check(&pages.history, self.export.size);
            }
            if let Some(change) = entry.change {
                pages.history.answer(change, tick, answer.is_ok());
            }
            self.answered.notify_one();
        }
        Some(used)
    }
}

impl Entry {
    /// Whether the client has received a part of its reply.
    fn is_half_answered(&self) -> bool {
        self.answer.is_none() && !(self.data.is_empty() && self.descriptors.is_empty())
    }

    /// Notes a chunk of its reply. Returns the answer if the chunk is the last.
    fn note_reply(
        &mut self,
        reply: Reply,
        bytes: &[u8],
        agreed: Agreed,
    ) -> Option<Result<(), Errno>> {
        let asked = &self.asked;
        match reply.body {
            Body::Nothing => {}
            Body::Data { offset, .. } => self.data.push((offset, bytes.to_vec())),
            Body::Hole { offset, length } => {
                assert!(
                    !asked.has(CommandFlags::DF),
                    "a hole in spite of DF: {asked:?}"
                );
                self.data
                    .push((offset, vec![0; usize::try_from(length).unwrap()]));
            }
            Body::BlockStatus {
                context,
                descriptors,
            } => {
                assert_eq!(Some(context), agreed.allocation);
                assert!(self.descriptors.is_empty(), "block status twice");
                self.descriptors = descriptors;
            }
            Body::Error { errno, .. } => {
                assert!(reply.done, "an error that isn't the last chunk");
                return Some(Err(errno));
            }
        }
        reply.done.then_some(Ok(()))
    }

    /// Checks the content of a success.
    fn check(&mut self, history: &History, size: u64) {
        let asked = &self.asked;
        match asked.meant.kind {
            command::READ if asked.meant.length > 0 => {
                let whole = !asked.has(CommandFlags::DF) || self.data.len() == 1;
                assert!(whole, "fragments in spite of DF: {asked:?}");
                self.data.sort_by_key(|(offset, _)| *offset);
                let mut at = asked.meant.offset;
                for (offset, bytes) in &self.data {
                    assert_eq!(*offset, at, "chunks overlap or leave a gap: {asked:?}");
                    if let Some(wrong) = history.first_wrong(at, bytes, self.begun) {
                        panic!("a wrong byte at {wrong}: {asked:?}");
                    }
                    at += bytes.len() as u64;
                }
                assert_eq!(at, asked.range().end, "bytes are missing: {asked:?}");
            }
            command::BLOCK_STATUS => {
                assert!(!self.descriptors.is_empty(), "{asked:?}");
                let mut at = asked.meant.offset;
                for descriptor in &self.descriptors {
                    let end = at.saturating_add(descriptor.length).min(size);
                    if descriptor.flags.contains(StateFlags::ZERO)
                        && let Some(wrong) = history.first_data(at..end, self.begun)
                    {
                        panic!("called zero, and there is data at {wrong}: {asked:?}");
                    }
                    at = end;
                }
            }
            _ => {}
        }
        self.data.clear();
    }
}
