//! One client's connection: the handshake, then requests and replies until either side ends it.
//!
//! It owns the socket and its buffers. `nbd-proto` has the protocol, and `dispatch` carries out requests.
//! Its invariant: whatever the client does, the connection drives every request that it began to its end,
//! so no plugin's instance stops halfway.

mod deadlines;
mod entrance;
mod gate;
mod handshake;
mod idle;
mod inbox;
mod linger;
mod outbox;
mod polling;
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
pub use polling::Pollers;
pub use strangers::STRANGERS;

use crate::tls::Tls;

/// Becomes `true` when the server stops, and stays so.
pub type StopSignal = watch::Receiver<bool>;

/// Waits until the server stops. Dropping the future is safe.
pub(crate) async fn stopped(stop: &mut StopSignal) {
    // An error means that the sender is gone, which is a stop too.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The handshake ended without an export: the client left, or the server refused it.
    Handshake,
    /// The client hadn't chosen an export when the time for the handshake was over.
    TimedOut,
    /// The client hadn't chosen an export, and the server gave its place to another client.
    Displaced,
    /// The client sent a DISC.
    Disconnected,
    /// The client closed the connection without a DISC, or the connection failed.
    HungUp,
    /// The client sent bytes in which the server can't find the next request.
    Broken,
    /// The client sent no request for too long.
    Idle,
    /// The client made no progress for too long, while other connections waited for what it held.
    Stalled,
    /// The server stopped.
    Stopped,
}

impl End {
    /// All ends, in the order of their declaration and of their counters.
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

    /// The name of the end in metrics, such as `timed-out`.
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

/// Serves one client until its connection ends. The client may use TLS if `tls` is given, and competes with no other
/// client for a place. Dropping the future gives up the requests under way.
///
/// # Errors
/// The socket failed during the handshake.
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

/// Serves one client that has come through an entrance, until its connection ends. Dropping the future gives up the
/// requests under way.
///
/// # Errors
/// The socket failed during the handshake.
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
    let pollers = visitor.pollers.clone();
    // A client that has chosen an export gives back its place among the strangers.
    drop(visitor);
    let ended = match shaken {
        //= proto.md#termination-of-the-session-during-option-haggling
        //# Either end MAY simply terminate the session.
        Err(_) => Ok(End::TimedOut),
        Ok(None) => Ok(End::Displaced),
        //= proto.md#option-types
        //# Similarly the server SHOULD gracefully handle the client sending an `NBD_OPT_ABORT` and closing the
        //# connection without waiting for a reply.
        Ok(Some(Err(error))) => Err(error),
        Ok(Some(Ok(None))) => Ok(End::Handshake),
        Ok(Some(Ok(Some(agreed)))) => Ok(transmission::run(agreed, number, pollers, stop).await),
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
