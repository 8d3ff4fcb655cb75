//! Replies on their way to the client, sent with as few system calls as possible.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use device::KeptMemory;
use tokio::io::AsyncWrite;

use super::gate::Permit;
use crate::dispatch::Reply;

/// Slices in one vectored write: headers and bodies of 64 reads, with some to spare. More, up to Linux's limit of 1024
/// (UIO_MAXIOV), would make the array larger that each write fills.
const SLICES: usize = 160;

/// Empty replies that a connection keeps for their memory.
const SPARE: usize = 64;

/// Bytes of memory in all empty replies of a connection. Restrains clients that send large requests and then stay.
const SPARE_BYTES: usize = 4 << 20;

/// Replies in the order in which the connection sends them.
#[derive(Debug)]
pub(super) struct Outbox {
    queue: VecDeque<(Reply, Permit)>,
    /// Bytes of the first reply that were sent.
    sent: usize,
    /// Bytes of all replies that weren't sent.
    bytes: usize,
    /// Whether written bytes may still be in the stream's own buffer, which TLS has.
    unflushed: bool,
    spare: Vec<Reply>,
    /// Bytes of memory that `spare` keeps.
    spare_bytes: usize,
    /// The tenant's account that pays for them; `None` if nobody pays.
    kept: Option<KeptMemory>,
}

impl Outbox {
    /// An empty outbox. `kept` pays for the memory that it keeps.
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

    /// An empty reply, with memory of an earlier one if the outbox keeps some.
    pub(super) fn blank(&mut self) -> Reply {
        let spare = self.spare.pop().unwrap_or_default();
        self.spare_bytes -= spare.capacity();
        spare
    }

    /// Keeps the memory of a sent reply for the next, while it is in the processor's cache.
    fn keep(&mut self, mut sent: Reply) {
        sent.reset();
        let bytes = self.spare_bytes + sent.capacity();
        if self.spare.len() < SPARE && bytes <= SPARE_BYTES && self.pay(bytes) {
            self.spare.push(sent);
            self.spare_bytes = bytes;
        }
    }

    /// Pays for `bytes` of kept memory. False if the account has no room for them: then the reply's memory is
    /// freed, and the next reply allocates its own.
    fn pay(&mut self, bytes: usize) -> bool {
        let kept = self.kept.as_mut();
        kept.is_none_or(|kept| kept.cover(bytes as u64))
    }

    /// Whether the outbox keeps memory for further replies.
    pub(super) fn keeps_memory(&self) -> bool {
        self.spare_bytes > 0
    }

    /// Frees the kept memory, and pays for it no longer.
    pub(super) fn rest(&mut self) {
        self.spare = Vec::new();
        self.spare_bytes = 0;
        if let Some(kept) = &mut self.kept {
            kept.release();
        }
    }

    /// Adds a complete reply.
    pub(super) fn push(&mut self, reply: Reply, permit: Permit) {
        self.bytes += reply.len();
        self.queue.push_back((reply, permit));
    }

    /// Bytes that weren't sent.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether all replies were written to the stream.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Drops all replies, because the client is gone. `leave` gets their permits.
    pub(super) fn clear(&mut self, mut leave: impl FnMut(Permit)) {
        for (_, permit) in self.queue.drain(..) {
            leave(permit);
        }
        self.sent = 0;
        self.bytes = 0;
        self.unflushed = false;
    }

    /// Whether the stream's own buffer is empty.
    pub(super) fn is_flushed(&self) -> bool {
        !self.unflushed
    }

    /// Sends the bytes in the stream's own buffer. Ready when it is empty.
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

    /// Sends as much as the socket takes, with one system call. `leave` gets the permits of the replies that
    /// were sent whole.
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
    fn kept_memory_is_bounded_and_counted() {
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
    fn kept_memory_is_charged_and_released_at_rest() {
        let quota = MemoryQuota::new(Holder::Tenant, 250_000);
        let mut outbox = Outbox::new(Some(KeptMemory::new(&quota, &Arc::default())));
        for _ in 0..3 {
            outbox.keep(Reply::with_capacity(100_000));
        }
        // The quota has no room for the third.
        assert_eq!((outbox.spare.len(), quota.used()), (2, 200_000));
        let taken = (outbox.blank(), outbox.blank());
        assert_eq!(quota.used(), 200_000, "replies in use stay charged");
        outbox.keep(taken.0);
        assert!(outbox.keeps_memory());
        outbox.rest();
        assert!(!outbox.keeps_memory());
        assert_eq!((outbox.spare_bytes, quota.used()), (0, 0));
    }
}
