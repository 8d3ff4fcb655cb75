//! The handshake's shell: moves bytes, answers the state machine's questions from the catalog.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use nbd_proto::{Event, Handshake, Policy, Session, limits::HANDSHAKE_BUFFER};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use super::StopSignal;
use crate::device::{Absent, Catalog, Device as _, Listed};
use crate::identity::Client;

/// What a handshake came to.
pub(super) struct Agreed<D> {
    pub(super) session: Session,
    pub(super) device: Arc<D>,
    /// Bytes that came after it: requests.
    pub(super) unread: BytesMut,
}

/// Time for another option when the server is stopping; it's refused with words. Restrains clients
/// that are silent.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Bytes read at once: a handshake is short.
const READ: usize = 4096;

/// Does the handshake; `None` if the client left, or was shown the door.
pub(super) async fn shake<S, C>(
    stream: &mut S,
    catalog: &C,
    client: &Client,
    mut stop: StopSignal,
) -> io::Result<Option<Agreed<C::Device>>>
where
    S: AsyncRead + AsyncWrite + Unpin,
    C: Catalog,
{
    let mut handshake = Handshake::new(Policy::default());
    let mut inbox = BytesMut::with_capacity(READ);
    let mut found = None;
    loop {
        if *stop.borrow() {
            handshake.shutting_down();
        }
        let (used, event) = handshake.advance(&inbox);
        inbox.advance(used);
        match event {
            Event::NeedMore => {
                send(stream, &mut handshake).await?;
                let full = inbox.len() > HANDSHAKE_BUFFER;
                if full || read(stream, &mut inbox, &mut stop).await? == 0 {
                    return Ok(None);
                }
            }
            Event::List => list(&mut handshake, catalog, client).await,
            Event::Find(lookup) => {
                // The place that an earlier question took, where places are counted.
                found = None;
                match catalog.find(client, &lookup.name).await {
                    Ok(device) => {
                        handshake.found(device.export());
                        found = Some(device);
                    }
                    Err(Absent::Unknown) => handshake.unknown(),
                    Err(Absent::Failed) => handshake.denied("the export can't be opened"),
                    Err(Absent::Full) => handshake.denied("there are too many connections"),
                }
            }
            Event::Ready(session) => {
                send(stream, &mut handshake).await?;
                // The session is for the export that was found last.
                let agreed = found.map(|device| Agreed {
                    session: *session,
                    device,
                    unread: inbox,
                });
                return Ok(agreed);
            }
            // TLS isn't offered, so this can't come; if it does, the client is shown the door.
            Event::StartTls | Event::Close => {
                send(stream, &mut handshake).await?;
                return Ok(None);
            }
        }
    }
}

async fn list<C: Catalog>(handshake: &mut Handshake, catalog: &C, client: &Client) {
    match catalog.list(client).await {
        Ok(exports) => {
            let pairs = exports
                .iter()
                .map(|Listed { name, description }| (name.as_str(), description.as_deref()));
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

/// Reads on; 0 at the end of the stream, and when a client has nothing to say to a server that is
/// stopping.
async fn read<S: AsyncRead + Unpin>(
    stream: &mut S,
    inbox: &mut BytesMut,
    stop: &mut StopSignal,
) -> io::Result<usize> {
    inbox.reserve(READ);
    tokio::select! {
        biased;
        read = stream.read_buf(inbox) => return read,
        // An error means that the server is gone: that's a stop too.
        _ = stop.wait_for(|stop| *stop) => {}
    }
    timeout(LAST_WORDS, stream.read_buf(inbox))
        .await
        .unwrap_or(Ok(0))
}
