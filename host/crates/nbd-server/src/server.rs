//! Listeners and the life of a server: it accepts clients until it stops, then drains.

mod bind;
mod inherited;
mod kept;
mod listener;
mod metrics;
mod socket_file;
mod standard;
mod welcome;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use device::Catalog;
use device::identity::Client;
use fair_cores::{CpuQuota, CpuShare};
use nbd_proto::Offers;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

pub use bind::OpenSocket;
pub use inherited::Inherited;
pub use kept::{address_of, socket_of};
pub use listener::Stream;
pub use listener::{AcceptFailure, Listener};
pub use metrics::ServerMetrics;
pub use nbd_client::Address;
pub use standard::OnlyClient;
pub use welcome::Welcome;

use crate::connection::{self, Entrance, Pollers, STRANGERS, StopSignal, Visitor, stopped};
use crate::occasion::Occasion;
use crate::tasks::Tasks;
use crate::tls::Tls;

/// The weight of each listener's handshakes where tenants compete for the cores: a tenant's default weight. Restrains
/// clients that send options without end.
const CPU_WEIGHT: u64 = 100;

/// The state that all listeners of a server share. Clones share it too.
#[derive(Debug)]
pub struct Server<C> {
    catalog: Arc<C>,
    connections: usize,
    offers: Offers,
    pollers: Pollers,
    /// One permit for each connection that may choose an export.
    rooms: Arc<Semaphore>,
    drain: Duration,
    stop: StopSignal,
    metrics: Arc<ServerMetrics>,
}

impl<C> Clone for Server<C> {
    fn clone(&self) -> Self {
        Self {
            catalog: Arc::clone(&self.catalog),
            connections: self.connections,
            offers: self.offers,
            pollers: self.pollers.clone(),
            rooms: Arc::clone(&self.rooms),
            drain: self.drain,
            stop: self.stop.clone(),
            metrics: Arc::clone(&self.metrics),
        }
    }
}

impl<C: Catalog> Server<C> {
    /// A server of the exports of `catalog`, until `stop` is true. At most `connections` clients at once may have
    /// chosen an export, and at most [`STRANGERS`] of each listener may not have. When the server stops, it drains for
    /// at most `drain`, which restrains clients that don't read their replies.
    #[must_use]
    pub fn new(catalog: Arc<C>, connections: usize, drain: Duration, stop: StopSignal) -> Self {
        Self {
            catalog,
            connections,
            offers: Offers::default(),
            pollers: Pollers::default(),
            rooms: Arc::new(Semaphore::new(connections)),
            drain,
            stop,
            metrics: Arc::default(),
        }
    }

    /// The same server, which offers only these parts of the protocol.
    #[must_use]
    pub fn offering(mut self, offers: Offers) -> Self {
        self.offers = offers;
        self
    }

    /// The same server, whose connections poll for their clients' next requests. By default none does.
    #[must_use]
    pub fn polling(mut self, pollers: Pollers) -> Self {
        self.pollers = pollers;
        self
    }

    /// The server's counters, all listeners together.
    #[must_use]
    pub fn metrics(&self) -> &Arc<ServerMetrics> {
        &self.metrics
    }

    /// Serves all clients of a listener. Each new client gets the current `welcome`; once that is closed, the listener
    /// closes and the connected clients stay. When the server stops, this drains its connections and returns.
    /// Dropping the future cancels all of them, so requests under way are given up.
    pub async fn serve(mut self, listener: Listener, welcome: watch::Receiver<Welcome>) {
        let most = self.connections.saturating_add(STRANGERS);
        let mut clients = Tasks::new(format!("a client of {}", listener.name()), most);
        self.accept(listener, welcome, &mut clients).await;
        tokio::select! {
            () = clients.all_ended() => return,
            () = stopped(&mut self.stop) => {}
        }
        let drained = timeout(self.drain, clients.all_ended()).await;
        if drained.is_err() {
            tracing::warn!(
                target: "nbdbox::server",
                "{} connections didn't end in time: closing them after {} s",
                clients.count(),
                self.drain.as_secs_f64()
            );
        }
    }

    /// Accepts clients until the server stops or the listener is closed.
    async fn accept(
        &mut self,
        mut listener: Listener,
        welcome: watch::Receiver<Welcome>,
        clients: &mut Tasks,
    ) {
        let cpu = self.catalog.cores();
        let cpu = cpu.map(|cores| CpuShare::new(&CpuQuota::new(cores, CPU_WEIGHT), CPU_WEIGHT));
        let entrance = Entrance::new(listener.name(), Arc::clone(&self.rooms), cpu)
            .offering(self.offers)
            .polling(self.pollers.clone());
        let (mut stop, mut closed) = (self.stop.clone(), welcome.clone());
        let mut failures = Occasion::default();
        loop {
            let come = self.next(&mut listener, &welcome, &entrance, &mut failures, clients);
            tokio::select! {
                () = stopped(&mut stop) => return,
                _ = closed.wait_for(Welcome::is_closed) => return,
                () = come => {}
            }
        }
    }

    /// Accepts the next client, and waits until there is a place for it. Meanwhile further clients wait in the
    /// listener's backlog.
    async fn next(
        &self,
        listener: &mut Listener,
        welcome: &watch::Receiver<Welcome>,
        entrance: &Entrance,
        failures: &mut Occasion,
        clients: &mut Tasks,
    ) {
        let name = listener.name().to_owned();
        let failed = |failure: &listener::AcceptFailure| match failure {
            listener::AcceptFailure::Clients(_) => self.metrics.socket_failures.one(),
            listener::AcceptFailure::Hosts(error) => {
                self.metrics.accept_failures.one();
                if let Some(times) = failures.note(Instant::now()) {
                    tracing::error!(
                        target: "nbdbox::server",
                        listener = name,
                        times,
                        "can't accept a connection: {error}; trying again"
                    );
                }
            }
        };
        let (stream, client) = listener.accept(failed).await;
        let visitor = entrance.enter().await;
        let tls = match &*welcome.borrow() {
            Welcome::Plain => None,
            Welcome::Secured(tls) => Some(Arc::clone(tls)),
            Welcome::Closed => return,
        };
        let served = serve_client(stream, client, visitor, tls, self.clone());
        clients.begin(served).await;
    }
}

async fn serve_client<C: Catalog>(
    stream: listener::Stream,
    client: Client,
    visitor: Visitor,
    tls: Option<Arc<Tls>>,
    server: Server<C>,
) {
    let Server {
        catalog,
        stop,
        metrics,
        ..
    } = server;
    metrics.connections.rise(1);
    let (stream, _presence) = match stream {
        listener::Stream::Only(stream, presence) => (*stream, Some(presence)),
        stream => (stream, None),
    };
    let ended = match stream {
        // The stream of an only client isn't another `Only`.
        listener::Stream::Only(..) => Ok(connection::End::HungUp),
        listener::Stream::Tcp(stream) => {
            connection::serve_visitor(stream, client, visitor, tls, catalog, stop).await
        }
        listener::Stream::Unix(stream) => {
            connection::serve_visitor(stream, client, visitor, tls, catalog, stop).await
        }
        listener::Stream::Vsock(stream) => {
            connection::serve_visitor(stream, client, visitor, tls, catalog, stop).await
        }
    };
    metrics.connections.fall(1);
    match ended {
        Ok(end) => metrics.ended(end).one(),
        Err(_) => metrics.socket_failures.one(),
    }
}

/// Serves one client of this process over a connected stream, without TLS and until the client ends it. Dropping the
/// future gives up requests under way.
///
/// # Errors
/// The stream failed during the handshake.
pub async fn serve_stream<S, C>(stream: S, catalog: Arc<C>) -> io::Result<connection::End>
where
    S: AsyncRead + AsyncWrite + Unpin,
    C: Catalog,
{
    let (_never, stop) = watch::channel(false);
    connection::serve(stream, Client::default(), None, catalog, stop).await
}
