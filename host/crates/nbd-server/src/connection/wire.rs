//! A client's stream, with what has come from it and what is to be sent.
//!
//! Bytes go in and out here, and nowhere else. What they mean, and whether more may come, is for others to say.

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
    /// What has come and wasn't taken.
    pub(super) inbox: Inbox,
    /// Replies that weren't sent, or not to their end.
    pub(super) outbox: Outbox,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// A wire on which the requests begin with these bytes. `kept` pays for what it keeps between them.
    pub(super) fn new(stream: S, unread: BytesMut, kept: Option<KeptMemory>) -> Self {
        Self {
            stream,
            inbox: Inbox::new(unread),
            outbox: Outbox::new(kept),
        }
    }

    /// Reads what the socket has into the inbox, with one system call. Ready with 0 at the end of the stream.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.inbox.poll_read(&mut self.stream, cx)
    }

    /// Sends what the socket takes of the outbox, and then what the stream itself still keeps, as TLS does. Returns
    /// whether any of the outbox was sent; the task is woken when the socket takes the rest. `leave` gets the permits
    /// of the replies that were sent to their end.
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

    /// Whether every reply has left, the stream's own buffer included.
    pub(super) fn is_sent(&self) -> bool {
        self.outbox.is_empty() && self.outbox.is_flushed()
    }

    /// Gives back the memory that it keeps for what comes next. Loses nothing.
    pub(super) fn rest(&mut self) {
        self.inbox.rest();
        self.outbox.rest();
    }

    /// The stream, once nothing more is read or sent.
    pub(super) fn into_stream(self) -> S {
        self.stream
    }
}
