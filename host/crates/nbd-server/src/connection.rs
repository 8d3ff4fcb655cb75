//! One client's connection: the handshake, then requests and replies until either side ends it.
//!
//! Owns the socket and its buffers. What is said is `nbd-proto`'s, what is done `dispatch`'s. Its
//! invariant: whatever the client does, every request that was begun is driven to its end, so that
//! no plugin's instance is left half-way.

mod deadlines;
mod entrance;
mod gate;
mod handshake;
mod idle;
mod inbox;
mod linger;
mod outbox;
mod rest;
mod running;
mod secured;
mod stall;
mod strangers;
mod transmission;
mod turns;
mod wire;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use device::Catalog;
use device::identity::Client;
use device::origin::Origin;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

pub(crate) use entrance::{Entrance, Visitor};
pub use strangers::STRANGERS;

use crate::tls::Tls;

/// Tells a connection to stop: `true` once.
pub type StopSignal = watch::Receiver<bool>;

/// Waits until the server stops. Dropping it loses nothing.
pub(crate) async fn stopped(stop: &mut StopSignal) {
    // An error means that the server is gone: that's a stop too.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The client left before it chose an export, or was refused one.
    Handshake,
    /// The client took too long to choose.
    TimedOut,
    /// The client hadn't chosen yet, and its place went to another one.
    Displaced,
    /// The client disconnected as it should.
    Disconnected,
    /// The client hung up.
    HungUp,
    /// The client sent what can't be followed.
    Broken,
    /// The client sent no request for too long.
    Idle,
    /// The client sent or read nothing for too long, while others waited for what it held.
    Stalled,
    /// The server is stopping.
    Stopped,
}

impl End {
    /// All ends, in the order of their counters.
    pub const ALL: [Self; 9] = [
        Self::Handshake,
        Self::TimedOut,
        Self::Displaced,
        Self::Disconnected,
        Self::HungUp,
        Self::Broken,
        Self::Idle,
        Self::Stalled,
        Self::Stopped,
    ];

    /// The word for counters.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::TimedOut => "timed-out",
            Self::Displaced => "displaced",
            Self::Disconnected => "disconnected",
            Self::HungUp => "hung-up",
            Self::Broken => "broken",
            Self::Idle => "idle",
            Self::Stalled => "stalled",
            Self::Stopped => "stopped",
        }
    }
}

/// The number of the next connection, for the log.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// Serves one client, who may go over to TLS if that is offered, and whom no other keeps waiting.
///
/// # Errors
/// The socket failed.
pub async fn serve<S, C>(
    stream: S,
    client: Client,
    tls: Option<Arc<Tls>>,
    catalog: Arc<C>,
    stop: StopSignal,
) -> io::Result<End>
where
    S: AsyncRead + AsyncWrite + Unpin,
    C: Catalog,
{
    let entrance = Entrance::new(&client.listener, Arc::new(Semaphore::new(1)), None);
    let visitor = entrance.enter().await;
    serve_visitor(stream, client, visitor, tls, catalog, stop).await
}

/// Serves one client that came in by an entrance.
///
/// # Errors
/// The socket failed.
pub(crate) async fn serve_visitor<S, C>(
    stream: S,
    client: Client,
    visitor: Visitor,
    tls: Option<Arc<Tls>>,
    catalog: Arc<C>,
    stop: StopSignal,
) -> io::Result<End>
where
    S: AsyncRead + AsyncWrite + Unpin,
    C: Catalog,
{
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    tracing::debug!(target: "nbdbox::connection", connection = number, listener = client.listener, peer = ?client.peer, "connected");
    let listener = client.listener.clone();
    let origin = Origin {
        connection: number,
        request: 0,
    };
    let shake = handshake::shake(
        stream,
        client,
        &visitor,
        tls.as_deref(),
        &*catalog,
        stop.clone(),
    );
    let shake = visitor.turns.charged(origin.scope(shake));
    let shaken = timeout(catalog.limits().handshake, async {
        tokio::select! {
            biased;
            shaken = shake => Some(shaken),
            () = visitor.place.displaced() => None,
        }
    });
    let shaken = shaken.await;
    // Whoever has chosen is no stranger any more.
    drop(visitor);
    let ended = match shaken {
        Err(_) => Ok(End::TimedOut),
        Ok(None) => Ok(End::Displaced),
        Ok(Some(Err(error))) => Err(error),
        Ok(Some(Ok(None))) => Ok(End::Handshake),
        Ok(Some(Ok(Some(agreed)))) => Ok(transmission::run(agreed, number, stop).await),
    };
    match &ended {
        Ok(end) => {
            tracing::debug!(target: "nbdbox::connection", connection = number, listener, ?end, "connection ended")
        }
        Err(error) => {
            tracing::debug!(target: "nbdbox::connection", connection = number, listener, %error, "connection ended")
        }
    }
    ended
}
