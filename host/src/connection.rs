//! One client's connection: the handshake, then requests and replies until either side ends it.
//!
//! Owns the socket and its buffers. What is said is `nbd-proto`'s, what is done `dispatch`'s. Its
//! invariant: whatever the client does, every request that was begun is driven to its end, so that
//! no plugin's instance is left half-way.

mod handshake;
mod idle;
mod inbox;
mod linger;
mod outbox;
mod transmission;

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::device::Catalog;
use crate::identity::Client;

/// Tells a connection to stop: `true` once.
pub type StopSignal = watch::Receiver<bool>;

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The client left before it chose an export, or was refused one.
    Handshake,
    /// The client took too long to choose.
    TimedOut,
    /// The client disconnected as it should.
    Disconnected,
    /// The client hung up.
    HungUp,
    /// The client sent what can't be followed.
    Broken,
    /// The client sent no request for too long.
    Idle,
    /// The server is stopping.
    Stopped,
}

/// Serves one client.
///
/// # Errors
/// The socket failed.
pub async fn serve<S, C>(
    mut stream: S,
    client: Client,
    catalog: Arc<C>,
    stop: StopSignal,
) -> io::Result<End>
where
    S: AsyncRead + AsyncWrite + Unpin,
    C: Catalog,
{
    let limit = catalog.limits().handshake;
    let shaken = timeout(
        limit,
        handshake::shake(&mut stream, &*catalog, &client, stop.clone()),
    )
    .await;
    match shaken {
        Err(_) => Ok(End::TimedOut),
        Ok(Err(error)) => Err(error),
        Ok(Ok(None)) => Ok(End::Handshake),
        Ok(Ok(Some(agreed))) => {
            let handshake::Agreed {
                session,
                device,
                unread,
            } = agreed;
            Ok(transmission::run(stream, session, device, unread, stop).await)
        }
    }
}
