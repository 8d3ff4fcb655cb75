//! A client's stream, with the bytes received from it and the replies to send.
//!
//! All bytes of the transmission phase go in and out here. Other modules parse them and decide when to read more.

use std::io;
use std::task::{Context, Poll};

use bytes::BytesMut;
use device::KeptMemory;
use tokio::io::{AsyncRead, AsyncWrite};

use super::gate::Permit;
use super::inbox::Inbox;
use super::outbox::Outbox;

/// Both directions of a connection.
pub(super) struct Wire<S> {
    stream: S,
    /// Bytes received and not taken.
    pub(super) inbox: Inbox,
    /// Replies that weren't sent whole.
    pub(super) outbox: Outbox,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// A wire whose first requests are in `unread`. `kept` pays for the memory that the wire keeps between requests.
    pub(super) fn new(stream: S, unread: BytesMut, kept: Option<KeptMemory>) -> Self {
        Self {
            stream,
            inbox: Inbox::new(unread),
            outbox: Outbox::new(kept),
        }
    }

    /// Reads from the socket into the inbox, with one system call. Ready with the number of bytes, which is 0 at the
    /// end of the stream. If the socket has none, wakes the task when it does.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.inbox.poll_read(&mut self.stream, cx)
    }

    /// Sends as much of the outbox as the socket takes, and then the bytes in the stream's own buffer, which TLS has.
    /// Returns whether the socket took any of the outbox, and wakes the task when the socket can take more. `leave`
    /// gets the permits of the replies that were sent whole.
    ///
    /// # Errors
    /// The client is gone, or the stream failed.
    pub(super) fn send(
        &mut self,
        cx: &mut Context<'_>,
        mut leave: impl FnMut(Permit),
    ) -> io::Result<bool> {
        let mut progress = false;
        while !self.outbox.is_empty() {
            match self.outbox.poll_write(&mut self.stream, cx, &mut leave)? {
                Poll::Ready(()) => progress = true,
                Poll::Pending => break,
            }
        }
        if let Poll::Ready(flushed) = self.outbox.poll_flush(&mut self.stream, cx) {
            flushed?;
        }
        Ok(progress)
    }

    /// Whether all replies were sent, and the stream's own buffer is empty.
    pub(super) fn is_sent(&self) -> bool {
        self.outbox.is_empty() && self.outbox.is_flushed()
    }

    /// Releases the memory that the wire keeps for further requests. Loses no bytes.
    pub(super) fn rest(&mut self) {
        self.inbox.rest();
        self.outbox.rest();
    }

    /// Returns the stream. Bytes that weren't taken or sent are lost.
    pub(super) fn into_stream(self) -> S {
        self.stream
    }
}
