//! Bytes received from the client and not yet processed.

use std::io;
use std::pin::pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use nbd_proto::Incoming;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::gate::Permit;

/// Bytes read from the socket at once, so that one system call reads many requests.
const READ: usize = 256 << 10;

/// Length of a payload's rest, in bytes, from which a system call of its own is cheaper than a copy.
const REST: usize = 32 << 10;

/// The receive buffer, and a write whose payload is arriving.
#[derive(Debug)]
pub(super) struct Inbox {
    buffer: BytesMut,
    /// A write whose payload hasn't been taken.
    partial: Option<Partial>,
    /// Bytes of a refused request's payload that haven't come yet. The inbox drops them.
    discard: u64,
}

#[derive(Debug)]
struct Partial {
    incoming: Incoming,
    payload: Vec<u8>,
    permit: Permit,
}

impl Inbox {
    /// An inbox whose first bytes are `unread`.
    pub(super) fn new(unread: BytesMut) -> Self {
        Self {
            buffer: unread,
            partial: None,
            discard: 0,
        }
    }

    /// The received bytes, which begin with the next request; `None` while a payload is arriving.
    pub(super) fn request_bytes(&self) -> Option<&[u8]> {
        (self.partial.is_none() && self.discard == 0).then_some(&self.buffer[..])
    }

    /// Drops the header of a parsed request, and its payload, now or as it arrives.
    pub(super) fn take_header(&mut self, incoming: &Incoming) {
        self.buffer.advance(incoming.header_len);
        self.discard = incoming.payload_len.into();
        self.settle();
    }

    /// Drops the header of a parsed write, which `permit` admits, and collects its payload.
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

    /// Takes the write whose whole payload has come, if there is one.
    pub(super) fn complete_write(&mut self) -> Option<(Incoming, Bytes, Permit)> {
        let complete =
            |partial: &mut Partial| partial.payload.len() >= partial.incoming.payload_len as usize;
        self.partial
            .take_if(complete)
            .map(|partial| (partial.incoming, partial.payload.into(), partial.permit))
    }

    /// Whether the header of a write has come, but not all of its payload.
    pub(super) fn awaits_payload(&self) -> bool {
        self.partial.is_some()
    }

    /// Gives up the write whose payload is arriving, and returns its permit, if there is such a write.
    pub(super) fn abandon(&mut self) -> Option<Permit> {
        self.partial.take().map(|partial| partial.permit)
    }

    /// Drops from the buffer the bytes to discard, and moves those of a payload to it.
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

    /// Reads from the socket, the rest of a large payload directly into its place. Ready with the number of bytes,
    /// which is 0 at the end of the stream.
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

    /// Frees the buffer's memory if the buffer is empty.
    pub(super) fn rest(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
    }

    /// Whether the client has sent only whole requests, and all were taken.
    pub(super) fn is_empty(&self) -> bool {
        self.buffer.is_empty() && self.partial.is_none() && self.discard == 0
    }
}
