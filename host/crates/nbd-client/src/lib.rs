//! The client: what `nbdbox map` is to a server, over any stream.
//!
//! Owns the stream and its buffer. What is said is `nbd_proto::client`'s. Its invariant: the server
//! isn't trusted. Memory stays bounded, what doesn't move on is an error, and texts of the server's
//! are escaped before they get into one.

mod address;
mod error;
mod extents;
pub mod pem;
mod printable;
mod stream;
mod tls;
mod uri;

use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use nbd_proto::client::{Connection, Goal, Negotiation, Progress, Request};
use nbd_proto::{Cookie, Framing};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

pub use address::Address;
pub use error::ClientError;
pub use printable::printable;
pub use stream::Stream;
pub use tls::{Tls, TlsFiles};
pub use uri::{Uri, UriError, UriTls};

/// Time for a connection and its handshake. Restrains servers that accept and say nothing.
const HANDSHAKE: Duration = Duration::from_secs(30);

/// Room that is made for what comes next, in bytes.
const RECEIVE: usize = 64 * 1024;

/// A connection in the transmission phase. One request at a time.
#[derive(Debug)]
pub struct Client<S> {
    stream: S,
    /// Received, and not consumed.
    input: BytesMut,
    agreed: Connection,
    last_cookie: u64,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// Chooses an export, with the best framing that the server knows, and `base:allocation`.
    ///
    /// # Errors
    /// The server refuses, breaks the protocol, hangs up, or takes too long.
    pub async fn negotiate(stream: S, export: &str) -> Result<Self, ClientError> {
        in_time(shake(stream, Negotiation::new(goal(export)))).await
    }

    /// The export's size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.agreed.size
    }

    /// Leaves.
    ///
    /// # Errors
    /// The connection is gone already.
    pub async fn disconnect(mut self) -> Result<(), ClientError> {
        let cookie = self.next_cookie();
        self.send(Request::disconnect(cookie)).await?;
        self.stream.shutdown().await.map_err(ClientError::Broken)
    }

    fn next_cookie(&mut self) -> Cookie {
        self.last_cookie += 1;
        Cookie(self.last_cookie)
    }

    async fn send(&mut self, request: Request) -> Result<(), ClientError> {
        let mut bytes = Vec::new();
        request
            .encode(self.agreed.framing, &mut bytes)
            .map_err(|error| ClientError::Protocol(error.to_string()))?;
        send(&mut self.stream, &bytes).await
    }
}

impl Client<Stream> {
    /// The same over TLS, or not at all.
    ///
    /// # Errors
    /// As for [`negotiate`](Self::negotiate); the server doesn't speak TLS, or isn't whom it should be.
    pub async fn negotiate_over_tls(
        mut stream: Stream,
        tls: &Tls,
        export: &str,
    ) -> Result<Self, ClientError> {
        in_time(async {
            let mut negotiation = Negotiation::over_tls(goal(export));
            // What came in plain text is given up with this.
            let mut input = BytesMut::new();
            match advance(&mut stream, &mut input, &mut negotiation).await? {
                Progress::StartTls => {}
                _ => return Err(unasked()),
            }
            let stream = tls.connect(stream).await?;
            negotiation.tls_established();
            shake(stream, negotiation).await
        })
        .await
    }
}

/// What is wanted of every server.
fn goal(export: &str) -> Goal {
    Goal::Go {
        export: export.to_owned(),
        framing: Framing::Extended,
        allocation: true,
    }
}

async fn in_time<T>(
    handshake: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, ClientError> {
    timeout(HANDSHAKE, handshake)
        .await
        .map_err(|_| ClientError::Silent(HANDSHAKE))?
}

async fn shake<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    mut negotiation: Negotiation,
) -> Result<Client<S>, ClientError> {
    let mut input = BytesMut::new();
    match advance(&mut stream, &mut input, &mut negotiation).await? {
        Progress::Connected(agreed) => Ok(Client {
            stream,
            input,
            agreed,
            last_cookie: 0,
        }),
        _ => Err(unasked()),
    }
}

/// Goes on until something other than more bytes is needed.
async fn advance<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    input: &mut BytesMut,
    negotiation: &mut Negotiation,
) -> Result<Progress, ClientError> {
    loop {
        let (used, progress) = negotiation.advance(input)?;
        input.advance(used);
        send(stream, &negotiation.take_output()).await?;
        if progress != Progress::NeedMore {
            return Ok(progress);
        }
        receive(stream, input).await?;
    }
}

fn unasked() -> ClientError {
    ClientError::Protocol("what nobody asked for".to_owned())
}

async fn send(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> Result<(), ClientError> {
    stream.write_all(bytes).await.map_err(ClientError::Broken)?;
    // TLS has a buffer of its own.
    stream.flush().await.map_err(ClientError::Broken)
}

/// Waits for more bytes.
async fn receive(
    stream: &mut (impl AsyncRead + Unpin),
    input: &mut BytesMut,
) -> Result<(), ClientError> {
    input.reserve(RECEIVE);
    match stream.read_buf(input).await {
        Ok(0) => Err(ClientError::HungUp),
        Ok(_) => Ok(()),
        Err(error) => Err(ClientError::Broken(error)),
    }
}
