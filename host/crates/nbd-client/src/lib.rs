//! An NBD client over any stream, for `nbdbox map`, the tests and the benchmark.
//!
//! [`Client`] owns the stream and its receive buffer; `nbd_proto::client` has the protocol. Its invariant:
//! it doesn't trust the server. Its memory is bounded, a connection or handshake that takes too long is an
//! error, and it escapes the server's texts before it puts them into an error.
//!
//! The client has two faces. Over tokio's streams its methods are futures; over the standard library's they have the
//! prefix `blocking_`. The streams decide how long those may block.

mod address;
mod answer;
mod blocking;
mod error;
mod extents;
mod inbox;
pub mod pem;
mod printable;
mod stream;
mod tls;
mod uri;

use std::time::Duration;

use nbd_proto::client::{Connection, Goal, Negotiation, Progress, Request};
use nbd_proto::{Cookie, Framing};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

pub use address::Address;
pub use answer::{Answer, Refused};
pub use error::ClientError;
pub use printable::printable;
pub use stream::Stream;
pub use tls::{Tls, TlsFiles};
pub use uri::{Uri, UriError, UriTls};

use answer::Gathering;
use inbox::Inbox;

/// Time for the handshakes of NBD and TLS. Restrains a server that accepts the connection and stays silent.
const HANDSHAKE: Duration = Duration::from_secs(30);

/// Bytes that the receive buffer has room for at first.
const RECEIVE: usize = 64 * 1024;

/// A connection in the transmission phase.
#[derive(Debug)]
pub struct Client<S> {
    stream: S,
    /// Bytes received and not consumed.
    inbox: Inbox,
    agreed: Connection,
    last_cookie: u64,
}

impl<S> Client<S> {
    /// A connection whose handshake has ended.
    fn connected(stream: S, inbox: Inbox, progress: Progress) -> Result<Self, ClientError> {
        match progress {
            Progress::Connected(agreed) => Ok(Self {
                stream,
                inbox,
                agreed,
                last_cookie: 0,
            }),
            _ => Err(unasked()),
        }
    }

    /// What the handshake agreed on.
    #[must_use]
    pub fn agreed(&self) -> &Connection {
        &self.agreed
    }

    /// The export's size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.agreed.size
    }

    /// A cookie that no earlier request of this client has.
    #[must_use]
    pub fn next_cookie(&mut self) -> Cookie {
        //= proto.md#transmission
        //# Clients SHOULD use a cookie that is distinct from all other currently pending transactions
        self.last_cookie += 1;
        Cookie(self.last_cookie)
    }

    /// The stream, for a caller that sends or receives bytes of its own.
    pub fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    /// The bytes that were received and not consumed.
    #[must_use]
    pub fn input(&self) -> &[u8] {
        self.inbox.bytes()
    }

    /// Consumes `count` bytes of the [`input`](Self::input); it must have that many.
    pub fn consume(&mut self, count: usize) {
        self.inbox.consume(count);
    }

    fn encode(&self, request: &Request, payload: &[u8]) -> Result<Vec<u8>, ClientError> {
        let mut bytes = Vec::new();
        request
            .encode(self.agreed.framing, &mut bytes)
            .map_err(|error| ClientError::Protocol(error.to_string()))?;
        bytes.extend_from_slice(payload);
        Ok(bytes)
    }

    fn gather(&self, request: Request) -> Gathering {
        Gathering::of(request, self.agreed.framing, self.agreed.allocation)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// Enters an export in plain text, with the best framing up to `framing` that the server supports, and with
    /// `base:allocation` if the server has it. Takes at most 30 s. Dropping the future closes the stream.
    ///
    /// # Errors
    /// The server refuses the export, breaks the protocol, hangs up, or takes too long.
    pub async fn negotiate(stream: S, export: &str, framing: Framing) -> Result<Self, ClientError> {
        in_time(shake(stream, Negotiation::new(goal(export, framing)))).await
    }

    /// Sends a request and its payload, and waits for the whole reply, without a time limit. No other request may be
    /// in flight. If the future is dropped, drop the client too: it would take the reply to the abandoned request for
    /// a mistake of the server. The inner error is the server's reply, after which the connection goes on.
    ///
    /// # Errors
    /// The server breaks the protocol or hangs up, or the request is too long for the framing.
    pub async fn ask(
        &mut self,
        request: Request,
        payload: &[u8],
    ) -> Result<Result<Answer, Refused>, ClientError> {
        let bytes = self.encode(&request, payload)?;
        self.send(&bytes).await?;
        let mut gathering = self.gather(request);
        while !gathering.take(&mut self.inbox)? {
            self.receive().await?;
        }
        gathering.finish()
    }

    /// Sends bytes as they are. A dropped future may have sent a part of them.
    ///
    /// # Errors
    /// The connection failed.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        send(&mut self.stream, bytes).await
    }

    /// Waits until there are more bytes in the [`input`](Self::input). Dropping the future loses none.
    ///
    /// # Errors
    /// The server hung up, or the connection failed.
    pub async fn receive(&mut self) -> Result<(), ClientError> {
        receive(&mut self.stream, &mut self.inbox).await
    }

    /// Sends a DISC and closes the sending side of the stream. Waits until the stream has taken all bytes.
    ///
    /// # Errors
    /// The connection failed.
    //= proto.md#request-types
    //# A client MUST NOT send anything to the server after sending an `NBD_CMD_DISC` command.
    pub async fn disconnect(mut self) -> Result<(), ClientError> {
        //= proto.md#terminating-the-transmission-phase
        //# The client MAY issue a soft disconnect at any time, but SHOULD wait until there are no inflight
        //# requests first.
        let request = Request::disconnect(self.next_cookie());
        let bytes = self.encode(&request, &[])?;
        self.send(&bytes).await?;
        self.stream.shutdown().await.map_err(ClientError::Broken)
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
        framing: Framing,
    ) -> Result<Self, ClientError> {
        in_time(async {
            //= proto.md#protocol-downgrade-attacks
            //# SHOULD ensure that if a TLS endpoint is specified by the client, it ensures that TLS is
            //# negotiated prior to sending or requesting sensitive data.
            let mut negotiation = Negotiation::over_tls(goal(export, framing));
            // Bytes that came in plain text are dropped with this buffer.
            let mut inbox = Inbox::new(RECEIVE);
            match advance(&mut stream, &mut inbox, &mut negotiation).await? {
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

/// The goal of every handshake: the export, with all that the server supports up to this framing.
fn goal(export: &str, framing: Framing) -> Goal {
    Goal::Go {
        export: export.to_owned(),
        framing,
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
    let mut inbox = Inbox::new(RECEIVE);
    let progress = advance(&mut stream, &mut inbox, &mut negotiation).await?;
    Client::connected(stream, inbox, progress)
}

/// Exchanges bytes with the server until the negotiation needs anything except more bytes.
async fn advance<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    inbox: &mut Inbox,
    negotiation: &mut Negotiation,
) -> Result<Progress, ClientError> {
    loop {
        let (used, progress) = negotiation.advance(inbox.bytes())?;
        inbox.consume(used);
        send(stream, &negotiation.take_output()).await?;
        if progress != Progress::NeedMore {
            return Ok(progress);
        }
        receive(stream, inbox).await?;
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

/// Waits for more bytes.
async fn receive(
    stream: &mut (impl AsyncRead + Unpin),
    inbox: &mut Inbox,
) -> Result<(), ClientError> {
    let count = stream.read(inbox.free()).await;
    match count.map_err(ClientError::Broken)? {
        0 => Err(ClientError::HungUp),
        count => {
            inbox.note(count);
            Ok(())
        }
    }
}
