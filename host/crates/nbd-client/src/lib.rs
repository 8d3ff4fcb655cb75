//! An NBD client over any stream, for `nbdbox map`.
//!
//! [`Client`] owns the stream and its receive buffer; `nbd_proto::client` has the protocol. Its invariant:
//! it doesn't trust the server. Its memory is bounded, a connection or handshake that takes too long is an
//! error, and it escapes the server's texts before it puts them into an error.

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

/// Time for the handshakes of NBD and TLS. Restrains a server that accepts the connection and stays silent.
const HANDSHAKE: Duration = Duration::from_secs(30);

/// Bytes that the receive buffer has room for before each read.
const RECEIVE: usize = 64 * 1024;

/// A connection in the transmission phase. It has one request in flight at a time.
#[derive(Debug)]
pub struct Client<S> {
    stream: S,
    /// Bytes received and not consumed.
    input: BytesMut,
    agreed: Connection,
    last_cookie: u64,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// Enters an export in plain text, with the best framing that the server supports, and with
    /// `base:allocation` if the server has it. Takes at most 30 s. Dropping the future closes the stream.
    ///
    /// # Errors
    /// The server refuses the export, breaks the protocol, hangs up, or takes too long.
    pub async fn negotiate(stream: S, export: &str) -> Result<Self, ClientError> {
        in_time(shake(stream, Negotiation::new(goal(export)))).await
    }

    /// The export's size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.agreed.size
    }

    /// Sends a DISC and closes the sending side of the stream. Waits until the stream has taken all bytes.
    ///
    /// # Errors
    /// The connection failed.
    //= proto.md#request-types
    //# A client MUST NOT send anything to the server after sending an `NBD_CMD_DISC` command.
    pub async fn disconnect(mut self) -> Result<(), ClientError> {
        let cookie = self.next_cookie();
        //= proto.md#terminating-the-transmission-phase
        //# The client MAY issue a soft disconnect at any time, but SHOULD wait until there are no inflight
        //# requests first.
        self.send(Request::disconnect(cookie)).await?;
        self.stream.shutdown().await.map_err(ClientError::Broken)
    }

    fn next_cookie(&mut self) -> Cookie {
        //= proto.md#transmission
        //# Clients SHOULD use a cookie that is distinct from all other currently pending transactions
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
    /// Enters an export as [`negotiate`](Self::negotiate) does, but over TLS.
    ///
    /// # Errors
    /// As for [`negotiate`](Self::negotiate); or the server refuses TLS, or its certificate isn't valid for the name
    /// that `tls` requires.
    pub async fn negotiate_over_tls(
        mut stream: Stream,
        tls: &Tls,
        export: &str,
    ) -> Result<Self, ClientError> {
        in_time(async {
            //= proto.md#protocol-downgrade-attacks
            //# SHOULD ensure that if a TLS endpoint is specified by the client, it ensures that TLS is
            //# negotiated prior to sending or requesting sensitive data.
            let mut negotiation = Negotiation::over_tls(goal(export));
            // Bytes that came in plain text are dropped with this buffer.
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

/// The goal of every handshake: the export, with all that the server supports.
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

/// Exchanges bytes with the server until the negotiation needs anything except more bytes.
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
    ClientError::Protocol("the server sent something that the client didn't request".to_owned())
}

async fn send(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> Result<(), ClientError> {
    stream.write_all(bytes).await.map_err(ClientError::Broken)?;
    // TLS keeps bytes in a buffer of its own until a flush.
    stream.flush().await.map_err(ClientError::Broken)
}

/// Waits for more bytes, and appends them to `input`.
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
