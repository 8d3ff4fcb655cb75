//! One connection of the load generator, past the handshake.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use nbd_client::Client;
use nbd_proto::Framing;

/// A server that doesn't answer within this time has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// The address of a server.
#[derive(Clone, Debug)]
pub(crate) enum Endpoint {
    Unix(PathBuf),
    /// A port of 127.0.0.1.
    Tcp(u16),
}

pub(crate) trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// A connection with structured replies and `base:allocation`, as real clients have them.
pub(crate) type Connected = Client<Box<dyn Stream>>;

impl Endpoint {
    /// Connects to the default export.
    pub(crate) fn connect(&self) -> anyhow::Result<Connected> {
        self.connect_to("")
    }

    /// Connects to an export.
    pub(crate) fn connect_to(&self, export: &str) -> anyhow::Result<Connected> {
        let stream: Box<dyn Stream> = match self {
            Self::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                Box::new(stream)
            }
            Self::Tcp(port) => {
                let stream = TcpStream::connect(("127.0.0.1", *port))?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                Box::new(stream)
            }
        };
        let framing = Framing::Structured;
        Ok(Client::blocking_negotiate(stream, export, framing)?)
    }
}
