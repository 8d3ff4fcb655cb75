//! The sending side of a client. It halts after the byte that the plan names.

use tokio::io::{AsyncWriteExt as _, DuplexStream, WriteHalf};
use tokio::time::Instant;

use super::Client;

/// The reason why a client sends nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Halt {
    /// The plan ends after this byte.
    Cut,
    /// The server has closed.
    Closed,
    /// The handshake leads to no export.
    Over,
}

pub(super) struct Sender<'a> {
    stream: WriteHalf<DuplexStream>,
    client: &'a Client,
    sent: u64,
    /// It has sent a part of a message.
    midway: bool,
}

impl<'a> Sender<'a> {
    pub(super) fn new(stream: WriteHalf<DuplexStream>, client: &'a Client) -> Self {
        Self {
            stream,
            client,
            sent: 0,
            midway: false,
        }
    }

    /// Sends bytes of a message. `last` tells whether they are its last ones. Fails if the plan ends before them.
    pub(super) async fn send(&mut self, bytes: &[u8], last: bool) -> Result<(), Halt> {
        let left = self.client.plan.cut.map_or(u64::MAX, |cut| cut - self.sent);
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        self.midway = true;
        let mut rest = &bytes[..count];
        while !rest.is_empty() {
            let written = self.stream.write(rest).await.map_err(|_| Halt::Closed)?;
            rest = &rest[written..];
            self.note(written as u64);
        }
        if count < bytes.len() {
            return Err(Halt::Cut);
        }
        self.midway = !last;
        Ok(())
    }

    /// Fails if the plan ends after the last byte that was sent.
    pub(super) fn go_on(&self) -> Result<(), Halt> {
        match self.client.plan.cut {
            Some(cut) if cut <= self.sent => Err(Halt::Cut),
            _ => Ok(()),
        }
    }

    /// Whether it has sent a part of a message.
    pub(super) fn is_midway(&self) -> bool {
        self.midway
    }

    pub(super) async fn close(&mut self) {
        // An error means that the server has closed the stream.
        let _ = self.stream.shutdown().await;
    }

    fn note(&mut self, written: u64) {
        let before = self.sent;
        self.sent += written;
        let ledger = &self.client.ledger;
        {
            let book = &mut ledger.open().books[self.client.number];
            book.sent = self.sent;
            book.last_sent = Some(Instant::now());
        }
        let stops = |at: u64| before < at && at <= self.sent;
        if self.client.stops_at.is_some_and(stops) {
            ledger.has_sent.notify_one();
        }
    }
}
