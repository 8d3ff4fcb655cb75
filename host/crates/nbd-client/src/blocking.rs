//! The client over a stream that blocks. A time limit is the stream's: set one before the client gets it.

use std::io::{Read, Write};

use nbd_proto::Framing;
use nbd_proto::client::{Negotiation, Progress, Request};

use crate::inbox::Inbox;
use crate::{Answer, Client, ClientError, Refused, goal};

/// Bytes that the receive buffer has room for at first: one system call gets many small replies, as in real clients
/// that are made for speed.
const RECEIVE: usize = 256 * 1024;

impl<S: Read + Write> Client<S> {
    /// Enters an export in plain text, with the best framing up to `framing` that the server supports, and with
    /// `base:allocation` if the server has it. Blocks.
    ///
    /// # Errors
    /// The server refuses the export, breaks the protocol, or hangs up; or the stream fails.
    pub fn blocking_negotiate(
        mut stream: S,
        export: &str,
        framing: Framing,
    ) -> Result<Self, ClientError> {
        let mut negotiation = Negotiation::new(goal(export, framing));
        let mut inbox = Inbox::new(RECEIVE);
        loop {
            let (used, progress) = negotiation.advance(inbox.bytes())?;
            inbox.consume(used);
            send(&mut stream, &negotiation.take_output())?;
            if progress != Progress::NeedMore {
                return Self::connected(stream, inbox, progress);
            }
            receive(&mut stream, &mut inbox)?;
        }
    }

    /// Sends a request and its payload, and blocks until the whole reply has come. No other request may be in flight.
    /// The inner error is the server's reply, after which the connection goes on.
    ///
    /// # Errors
    /// The server breaks the protocol or hangs up, the stream fails, or the request is too long for the framing.
    pub fn blocking_ask(
        &mut self,
        request: Request,
        payload: &[u8],
    ) -> Result<Result<Answer, Refused>, ClientError> {
        let bytes = self.encode(&request, payload)?;
        self.blocking_send(&bytes)?;
        let mut gathering = self.gather(request);
        while !gathering.take(&mut self.inbox)? {
            self.blocking_receive()?;
        }
        gathering.finish()
    }

    /// Sends bytes as they are. Blocks.
    ///
    /// # Errors
    /// The stream fails.
    pub fn blocking_send(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        send(&mut self.stream, bytes)
    }

    /// Blocks until there are more bytes in the [`input`](Self::input).
    ///
    /// # Errors
    /// The server hung up, or the stream fails.
    pub fn blocking_receive(&mut self) -> Result<(), ClientError> {
        receive(&mut self.stream, &mut self.inbox)
    }
}

fn send(stream: &mut impl Write, bytes: &[u8]) -> Result<(), ClientError> {
    stream.write_all(bytes).map_err(ClientError::Broken)
}

fn receive(stream: &mut impl Read, inbox: &mut Inbox) -> Result<(), ClientError> {
    match stream.read(inbox.free()).map_err(ClientError::Broken)? {
        0 => Err(ClientError::HungUp),
        count => {
            inbox.note(count);
            Ok(())
        }
    }
}
