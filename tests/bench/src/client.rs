//! One connection of the load generator, past the handshake.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use nbd_proto::Framing;
use nbd_proto::client::{Connection, Goal, Negotiation, Progress};

/// The most bytes that one read of the socket takes: one system call gets many small replies, as in real clients that
/// are made for speed.
const GULP: usize = 256 << 10;

/// A server that doesn't answer within this time has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// The address of a server.
#[derive(Clone, Debug)]
pub(crate) enum Endpoint {
    Unix(PathBuf),
    /// A port of 127.0.0.1.
    Tcp(u16),
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// A connection, with the bytes that were received but not used yet.
pub(crate) struct Client {
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    pub(crate) agreed: Connection,
}

impl Client {
    /// Connects to the default export with structured replies and `base:allocation`, as real clients do.
    pub(crate) fn connect(endpoint: &Endpoint) -> anyhow::Result<Self> {
        Self::to_export(endpoint, "")
    }

    /// Connects to an export, likewise.
    pub(crate) fn to_export(endpoint: &Endpoint, export: &str) -> anyhow::Result<Self> {
        let stream: Box<dyn Stream> = match endpoint {
            Endpoint::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                Box::new(stream)
            }
            Endpoint::Tcp(port) => {
                let stream = TcpStream::connect(("127.0.0.1", *port))?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                Box::new(stream)
            }
        };
        negotiate(stream, export)
    }

    /// The bytes that were received but not used yet.
    pub(crate) fn input(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Marks `count` of these bytes as used.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start += count;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Blocks until more bytes are received.
    pub(crate) fn receive(&mut self) -> anyhow::Result<()> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.buffer.len() {
            // A list of descriptors may be longer than a gulp.
            self.buffer.resize(2 * self.buffer.len(), 0);
        }
        match self.stream.read(&mut self.buffer[self.end..])? {
            0 => bail!("the server hung up"),
            count => self.end += count,
        }
        Ok(())
    }

    /// Receives a few bytes, and forgets them.
    pub(crate) fn receive_at_most(&mut self, count: usize) -> anyhow::Result<()> {
        let count = count.min(self.buffer.len());
        match self.stream.read(&mut self.buffer[..count])? {
            0 => bail!("the server hung up"),
            _ => Ok(()),
        }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        Ok(self.stream.write_all(bytes)?)
    }
}

fn negotiate(mut stream: Box<dyn Stream>, export: &str) -> anyhow::Result<Client> {
    let mut negotiation = Negotiation::new(Goal::Go {
        export: export.to_owned(),
        framing: Framing::Structured,
        allocation: true,
    });
    let mut input = Vec::new();
    let mut bytes = vec![0; 4096];
    loop {
        let (used, progress) = negotiation.advance(&input).context("in the handshake")?;
        input.drain(..used);
        stream.write_all(&negotiation.take_output())?;
        match progress {
            Progress::NeedMore => match stream.read(&mut bytes)? {
                0 => bail!("the server hung up in the handshake"),
                count => input.extend_from_slice(&bytes[..count]),
            },
            Progress::Connected(agreed) => {
                let mut buffer = vec![0; GULP];
                buffer[..input.len()].copy_from_slice(&input);
                return Ok(Client {
                    stream,
                    buffer,
                    start: 0,
                    end: input.len(),
                    agreed,
                });
            }
            Progress::Listed(_) | Progress::StartTls => {
                bail!("the server sent a reply that the client didn't request")
            }
        }
    }
}
