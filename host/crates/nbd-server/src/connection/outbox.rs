//! Replies on their way to the client, sent with as few system calls as can be.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use device::KeptMemory;
use tokio::io::AsyncWrite;

use super::gate::Permit;
use crate::dispatch::Reply;

/// Slices in one vectored write: headers and bodies of 64 reads, with some to spare. An array of them
/// is made for each write; Linux takes 1024 (UIO_MAXIOV).
const SLICES: usize = 160;

/// Emptied replies that are kept for their memory.
const SPARE: usize = 64;

/// Bytes of memory that they keep, all together.
const SPARE_BYTES: usize = 4 << 20;

/// Replies in the order in which they're sent.
#[derive(Debug)]
pub(super) struct Outbox {
    queue: VecDeque<(Reply, Permit)>,
    /// Bytes of the first reply that were sent.
    sent: usize,
    /// Bytes of all replies that are still to be sent.
    bytes: usize,
    /// What was written may still be in the stream's own buffer, as it is with TLS.
    unflushed: bool,
    spare: Vec<Reply>,
    /// Bytes of memory that `spare` keeps.
    spare_bytes: usize,
    /// Who pays for them; `None` where nobody does.
    kept: Option<KeptMemory>,
}

impl Outbox {
    /// An empty one. `kept` pays for the memory that it keeps.
    pub(super) fn new(kept: Option<KeptMemory>) -> Self {
        Self {
            queue: VecDeque::new(),
            sent: 0,
            bytes: 0,
            unflushed: false,
            spare: Vec::new(),
            spare_bytes: 0,
            kept,
        }
    }

    /// An empty reply, with memory where there is some to reuse.
    pub(super) fn blank(&mut self) -> Reply {
        let spare = self.spare.pop().unwrap_or_default();
        self.spare_bytes -= spare.capacity();
        spare
    }

    /// A reply was sent: keeps its memory for another, the one that is next, while it's in the
    /// processor's cache.
    fn keep(&mut self, mut sent: Reply) {
        sent.reset();
        let bytes = self.spare_bytes + sent.capacity();
        if self.spare.len() < SPARE && bytes <= SPARE_BYTES && self.pay(bytes) {
            self.spare.push(sent);
            self.spare_bytes = bytes;
        }
    }

    /// Whether so many bytes may be kept. Without room for them they aren't: the next reply makes its own.
    fn pay(&mut self, bytes: usize) -> bool {
        let kept = self.kept.as_mut();
        kept.is_none_or(|kept| kept.cover(bytes as u64))
    }

    /// Whether it keeps memory for replies to come.
    pub(super) fn keeps_memory(&self) -> bool {
        self.spare_bytes > 0
    }

    /// Gives back what it keeps.
    pub(super) fn rest(&mut self) {
        self.spare = Vec::new();
        self.spare_bytes = 0;
        if let Some(kept) = &mut self.kept {
            kept.release();
        }
    }

    /// A reply is complete.
    pub(super) fn push(&mut self, reply: Reply, permit: Permit) {
        self.bytes += reply.len();
        self.queue.push_back((reply, permit));
    }

    /// Bytes that are still to be sent.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether all was sent.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The client is gone: drops what can't be sent.
    pub(super) fn clear(&mut self, mut leave: impl FnMut(Permit)) {
        for (_, permit) in self.queue.drain(..) {
            leave(permit);
        }
        self.sent = 0;
        self.bytes = 0;
        self.unflushed = false;
    }

    /// Whether nothing is left in the stream's own buffer.
    pub(super) fn is_flushed(&self) -> bool {
        !self.unflushed
    }

    /// Sends what is left in the stream's own buffer.
    pub(super) fn poll_flush<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.unflushed {
            ready!(Pin::new(stream).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Sends with one system call what the socket takes. `leave` gets the permits of the replies that
    /// are gone.
    pub(super) fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
        leave: impl FnMut(Permit),
    ) -> Poll<io::Result<()>> {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let mut filled = 0;
        let mut skip = self.sent;
        for (reply, _) in &self.queue {
            filled += reply.slices(skip, &mut slices[filled..]);
            skip = 0;
            if filled == SLICES {
                break;
            }
        }
        let written = ready!(Pin::new(stream).poll_write_vectored(cx, &slices[..filled]))?;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.unflushed = true;
        self.advance(written, leave);
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, mut written: usize, mut leave: impl FnMut(Permit)) {
        self.bytes -= written;
        while let Some((reply, _)) = self.queue.front() {
            let left = reply.len() - self.sent;
            if written < left {
                self.sent += written;
                return;
            }
            written -= left;
            self.sent = 0;
            if let Some((reply, permit)) = self.queue.pop_front() {
                leave(permit);
                self.keep(reply);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use quota::{Holder, MemoryQuota};

    use super::*;

    #[test]
    fn what_is_kept_for_its_memory_is_bounded_and_counted() {
        for size in [0, 1000, 100_000, SPARE_BYTES, SPARE_BYTES + 1] {
            let mut outbox = Outbox::new(None);
            for _ in 0..2 * SPARE {
                outbox.keep(Reply::with_capacity(size));
            }
            assert!(outbox.spare.len() <= SPARE);
            assert!(outbox.spare_bytes <= SPARE_BYTES);
            let kept: usize = outbox.spare.iter().map(Reply::capacity).sum();
            assert_eq!(outbox.spare_bytes, kept);
            assert_eq!(outbox.spare.is_empty(), size > SPARE_BYTES);
            for _ in 0..=SPARE {
                let _taken = outbox.blank();
            }
            assert_eq!(outbox.spare_bytes, 0);
        }
    }

    #[test]
    fn what_is_kept_is_charged_and_given_back_at_rest() {
        let quota = MemoryQuota::new(Holder::Tenant, 250_000);
        let mut outbox = Outbox::new(Some(KeptMemory::new(&quota, &Arc::default())));
        for _ in 0..3 {
            outbox.keep(Reply::with_capacity(100_000));
        }
        // Without room for the third.
        assert_eq!((outbox.spare.len(), quota.used()), (2, 200_000));
        let taken = (outbox.blank(), outbox.blank());
        assert_eq!(quota.used(), 200_000, "they come back");
        outbox.keep(taken.0);
        assert!(outbox.keeps_memory());
        outbox.rest();
        assert!(!outbox.keeps_memory());
        assert_eq!((outbox.spare_bytes, quota.used()), (0, 0));
    }
}
