//! What came from the client and hasn't been dealt with.

use std::io;
use std::pin::pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use nbd_proto::Incoming;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::gate::Permit;

/// Bytes read from the socket at once: many requests for one system call.
const READ: usize = 256 << 10;

/// The rest of a payload that is worth a system call of its own, rather than a copy.
const REST: usize = 32 << 10;

/// The receive buffer, and a payload that is being put together.
#[derive(Debug)]
pub(super) struct Inbox {
    buffer: BytesMut,
    /// A write whose payload isn't complete.
    partial: Option<Partial>,
    /// Bytes of a refused request's payload that are still to come, and to be dropped.
    discard: u64,
}

#[derive(Debug)]
struct Partial {
    incoming: Incoming,
    payload: Vec<u8>,
    permit: Permit,
}

impl Inbox {
    /// Begins with bytes that were read before.
    pub(super) fn new(unread: BytesMut) -> Self {
        Self {
            buffer: unread,
            partial: None,
            discard: 0,
        }
    }

    /// The bytes at the front, where the next request is; `None` while a payload is awaited.
    pub(super) fn request_bytes(&self) -> Option<&[u8]> {
        (self.partial.is_none() && self.discard == 0).then_some(&self.buffer[..])
    }

    /// The header of a request was parsed. Its payload is dropped.
    pub(super) fn take_header(&mut self, incoming: &Incoming) {
        self.buffer.advance(incoming.header_len);
        self.discard = incoming.payload_len.into();
        self.settle();
    }

    /// The header of a write was parsed, and the write was let in by `permit`. Its payload is collected.
    pub(super) fn take_write(&mut self, incoming: Incoming, permit: Permit) {
        self.buffer.advance(incoming.header_len);
        let payload = Vec::with_capacity(incoming.payload_len as usize);
        self.partial = Some(Partial {
            incoming,
            payload,
            permit,
        });
        self.settle();
    }

    /// A write whose payload has come, once.
    pub(super) fn complete_write(&mut self) -> Option<(Incoming, Bytes, Permit)> {
        let complete =
            |partial: &mut Partial| partial.payload.len() >= partial.incoming.payload_len as usize;
        self.partial
            .take_if(complete)
            .map(|partial| (partial.incoming, partial.payload.into(), partial.permit))
    }

    /// Whether a write has begun of which the rest hasn't come.
    pub(super) fn awaits_payload(&self) -> bool {
        self.partial.is_some()
    }

    /// Gives up a write of which the rest hasn't come: its permit, if there's one.
    pub(super) fn abandon(&mut self) -> Option<Permit> {
        self.partial.take().map(|partial| partial.permit)
    }

    /// Moves bytes from the buffer to where they're awaited.
    fn settle(&mut self) {
        if self.discard > 0 {
            let drop = self
                .buffer
                .len()
                .min(usize::try_from(self.discard).unwrap_or(usize::MAX));
            self.buffer.advance(drop);
            self.discard -= drop as u64;
        }
        if let Some(partial) = &mut self.partial {
            let missing = partial.incoming.payload_len as usize - partial.payload.len();
            let take = missing.min(self.buffer.len());
            partial.payload.extend_from_slice(&self.buffer[..take]);
            self.buffer.advance(take);
        }
    }

    /// Reads what the socket has: the rest of a large payload goes to its place at once. Ready with
    /// 0 at the end of the stream.
    pub(super) fn poll_read<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if let Some(partial) = &mut self.partial {
            let missing = partial.incoming.payload_len as usize - partial.payload.len();
            if missing >= REST {
                let mut rest = (&mut partial.payload).limit(missing);
                return pin!(stream.read_buf(&mut rest)).poll(cx);
            }
        }
        self.buffer.reserve(READ);
        let read = pin!(stream.read_buf(&mut self.buffer)).poll(cx);
        self.settle();
        read
    }

    /// Gives back the buffer's memory, if there's nothing in it.
    pub(super) fn rest(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
    }

    /// Whether nothing would be lost by ending here.
    pub(super) fn is_empty(&self) -> bool {
        self.buffer.is_empty() && self.partial.is_none() && self.discard == 0
    }
}
