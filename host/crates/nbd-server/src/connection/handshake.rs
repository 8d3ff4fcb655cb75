//! The shell of the handshake: moves bytes, and answers the state machine's events from the catalog.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use device::identity::Client;
use device::origin::Origin;
use device::{Absent, Catalog, Device as _, Guest, Listed, Opened};
use nbd_proto::{Event, Handshake, Policy, Session, limits::HANDSHAKE_BUFFER};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use super::entrance::{Room, Visitor};
use super::linger::linger;
use super::secured::Secured;
use super::{StopSignal, stopped};
use crate::tls::Tls;

/// The result of a handshake.
pub(super) struct Agreed<S, D> {
    pub(super) stream: Secured<S>,
    pub(super) session: Session,
    pub(super) opened: Opened<D>,
    /// What the export keeps for the client while it is connected.
    pub(super) guest: Guest,
    /// Bytes after the handshake, which are requests.
    pub(super) unread: BytesMut,
    /// The connection's permit among those of its server.
    pub(super) room: Option<Room>,
}

/// Time for one more option when the server is stopping, so that the client gets an error with a reason. Restrains
/// clients that are silent.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Bytes read at once. Handshakes are short.
const READ: usize = 4096;

/// Does the handshake with a client; `None` if the client left or the server refused it. Dropping the future gives up
/// the handshake and closes the stream.
///
/// # Errors
/// The socket failed.
pub(super) async fn shake<S, C>(
    stream: S,
    mut client: Client,
    visitor: &Visitor,
    tls: Option<&Tls>,
    catalog: &C,
    mut stop: StopSignal,
) -> io::Result<Option<Agreed<S, C::Device>>>
where
    S: AsyncRead + AsyncWrite + Unpin,
    C: Catalog,
{
    let mut stream = Secured::Plain(stream);
    let mut handshake = Handshake::new(Policy {
        //= proto.md#server-side-requirements
        //# it MUST be consistent in its mode of operation across the lifespan of a single TCP connection to the
        //# server.
        tls: tls.map(Tls::mode).unwrap_or_default(),
        offers: visitor.offers,
    });
    let mut inbox = BytesMut::with_capacity(READ);
    let mut found = None;
    loop {
        if *stop.borrow() {
            handshake.shutting_down();
        }
        visitor.turns.next().await;
        let (used, event) = handshake.advance(&inbox);
        inbox.advance(used);
        match event {
            Event::NeedMore => {
                send(&mut stream, &mut handshake).await?;
                let full = inbox.len() > HANDSHAKE_BUFFER;
                if full || read(&mut stream, &mut inbox, &mut stop).await? == 0 {
                    return Ok(None);
                }
            }
            Event::List => {
                list(&mut handshake, catalog, &client).await;
                // If the client requests many lists at once, the server sends each before it makes the next.
                send(&mut stream, &mut handshake).await?;
            }
            Event::Find(lookup) => {
                // Gives back the permits of the export that an earlier option opened.
                found = None;
                // Boxed, because this future is large and the connection's would have room for it all the time.
                let finding = Box::pin(catalog.find(&client, &lookup.name));
                match visitor.place.lend(finding).await {
                    Ok(opened) => {
                        visitor.turns.charge_to(opened.served.terms().cpu());
                        handshake.found(&opened.served.terms().export);
                        found = Some(opened);
                    }
                    Err(Absent::Unknown) => handshake.unknown(),
                    Err(Absent::Failed) => handshake.denied("the server can't open the export"),
                    Err(Absent::Full) => handshake.denied("the limit of connections is reached"),
                }
            }
            Event::Ready(session) => {
                // The session is for the export of the last option.
                let Some(opened) = found else {
                    return Ok(None);
                };
                // Boxed, because this future is large and few devices do anything here.
                let entering = Box::pin(opened.served.device().enter());
                let guest = match visitor.place.lend(entering).await {
                    Ok(guest) => guest,
                    Err(failure) => {
                        tracing::debug!(target: "nbdbox::connection",
                            listener = client.listener,
                            request = Origin::field(),
                            "the export denied the connection: {}", failure.text
                        );
                        return Ok(None);
                    }
                };
                let room = visitor.room().await;
                send(&mut stream, &mut handshake).await?;
                return Ok(Some(Agreed {
                    stream,
                    session: *session,
                    opened,
                    guest,
                    unread: inbox,
                    room,
                }));
            }
            Event::StartTls => {
                send(&mut stream, &mut handshake).await?;
                // The handshake has discarded the plain text after STARTTLS.
                //= proto.md#forcedtls-mode
                //# all further data MUST be sent and received over TLS.
                inbox.clear();
                found = None;
                let Some(secured) = start_tls(stream, tls, &mut client, &mut stop).await else {
                    return Ok(None);
                };
                stream = secured;
                handshake.tls_established();
            }
            //= proto.md#termination-of-the-session-during-option-haggling
            //# A party that is mandated by this document to terminate the session MUST initiate a hard
            //# disconnect if it is not possible to use a soft disconnect.
            Event::Close => {
                send(&mut stream, &mut handshake).await?;
                return Ok(None);
            }
        }
    }
}

/// Switches to TLS, and notes the client's certificate; `None` if the TLS handshake failed.
async fn start_tls<S: AsyncRead + AsyncWrite + Unpin>(
    stream: Secured<S>,
    tls: Option<&Tls>,
    client: &mut Client,
    stop: &mut StopSignal,
) -> Option<Secured<S>> {
    // The handshake has refused STARTTLS if the server has no TLS or the client already uses it.
    let (Secured::Plain(stream), Some(tls)) = (stream, tls) else {
        return None;
    };
    match unless_stopping(tls.accept(stream), stop).await? {
        Ok(accepted) => {
            client.certificate = accepted.certificate;
            Some(Secured::Tls(accepted.stream))
        }
        //= proto.md#forcedtls-mode
        //# If the handshake is unsuccessful (for instance the client's certificate does not match) the server
        //# MUST terminate the session
        Err((error, stream)) => {
            tracing::debug!(target: "nbdbox::connection",
                listener = client.listener,
                request = Origin::field(),
                "the TLS handshake failed: {error}"
            );
            linger(stream).await;
            None
        }
    }
}

async fn list<C: Catalog>(handshake: &mut Handshake, catalog: &C, client: &Client) {
    match Box::pin(catalog.list(client)).await {
        Ok(exports) => {
            let pairs = exports
                .iter()
                .map(|Listed { name, description }| (name.as_str(), description.as_deref()));
            //= proto.md#option-types
            //# The server MAY omit entries from this list if TLS has not been negotiated, the server is
            //# operating in SELECTIVETLS mode, and the entry concerned is a TLS-only export.
            handshake.list(pairs);
        }
        Err(failure) => handshake.denied(&failure.text),
    }
}

async fn send<S: AsyncWrite + Unpin>(stream: &mut S, handshake: &mut Handshake) -> io::Result<()> {
    let output = handshake.take_output();
    stream.write_all(&output).await?;
    stream.flush().await
}

/// Reads more bytes; 0 at the end of the stream, and if the server is stopping and the client stays silent.
async fn read<S: AsyncRead + Unpin>(
    stream: &mut S,
    inbox: &mut BytesMut,
    stop: &mut StopSignal,
) -> io::Result<usize> {
    inbox.reserve(READ);
    let read = unless_stopping(stream.read_buf(inbox), stop).await;
    read.unwrap_or(Ok(0))
}

/// Waits for `words` from the client; `None` if the server is stopping and they take longer than [`LAST_WORDS`].
async fn unless_stopping<F: Future>(words: F, stop: &mut StopSignal) -> Option<F::Output> {
    let mut words = pin!(words);
    tokio::select! {
        biased;
        said = &mut words => return Some(said),
        () = stopped(stop) => {}
    }
    timeout(LAST_WORDS, words).await.ok()
}
