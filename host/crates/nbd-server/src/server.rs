//! Listeners and the life of the process: who comes in, and how it ends.

mod bind;
mod inherited;
mod listener;
mod metrics;
mod welcome;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use device::Catalog;
use device::identity::Client;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

pub use inherited::Inherited;
pub use listener::Listener;
pub use listener::Stream;
pub use metrics::ServerMetrics;
pub use nbd_client::Address;
pub use welcome::Welcome;

use crate::connection::{self, StopSignal, stopped};
use crate::tls::Tls;

/// What all listeners of a server share.
#[derive(Debug)]
pub struct Server<C> {
    catalog: Arc<C>,
    places: Arc<Semaphore>,
    drain: Duration,
    stop: StopSignal,
    metrics: Arc<ServerMetrics>,
}

impl<C> Clone for Server<C> {
    fn clone(&self) -> Self {
        Self {
            catalog: Arc::clone(&self.catalog),
            places: Arc::clone(&self.places),
            drain: self.drain,
            stop: self.stop.clone(),
            metrics: Arc::clone(&self.metrics),
        }
    }
}

impl<C: Catalog> Server<C> {
    /// A server of these exports, for so many connections at once, until `stop` says so. Then what is
    /// under way has the time `drain`, which restrains clients that don't read their replies.
    #[must_use]
    pub fn new(catalog: Arc<C>, connections: usize, drain: Duration, stop: StopSignal) -> Self {
        Self {
            catalog,
            places: Arc::new(Semaphore::new(connections)),
            drain,
            stop,
            metrics: Arc::default(),
        }
    }

    /// Its counters.
    #[must_use]
    pub fn metrics(&self) -> &Arc<ServerMetrics> {
        &self.metrics
    }

    /// Serves all who come to a listener, each as `welcome` says then. Once it's closed nobody else is let
    /// in, and those who are connected stay. When the server stops, drains.
    pub async fn serve(mut self, listener: Listener, welcome: watch::Receiver<Welcome>) {
        let mut connections = JoinSet::new();
        self.accept(listener, welcome, &mut connections).await;
        tokio::select! {
            () = all_ended(&mut connections) => return,
            () = stopped(&mut self.stop) => {}
        }
        let drained = timeout(self.drain, all_ended(&mut connections)).await;
        if drained.is_err() {
            tracing::warn!(target: "nbdbox::server", "{} connections didn't end in time", connections.len());
        }
    }

    /// Lets clients in until the listener is to be closed.
    async fn accept(
        &mut self,
        mut listener: Listener,
        mut welcome: watch::Receiver<Welcome>,
        connections: &mut JoinSet<()>,
    ) {
        loop {
            // Those who come while all places are taken wait in the listener's backlog.
            let place = tokio::select! {
                () = stopped(&mut self.stop) => return,
                _ = welcome.wait_for(Welcome::is_closed) => return,
                place = Arc::clone(&self.places).acquire_owned() => place,
            };
            let failed = |error: &io::Error| {
                self.metrics.accept_failures.one();
                tracing::error!(target: "nbdbox::server", "can't accept a connection: {error}");
            };
            let (stream, client) = tokio::select! {
                () = stopped(&mut self.stop) => return,
                _ = welcome.wait_for(Welcome::is_closed) => return,
                accepted = listener.accept(failed) => accepted,
            };
            let tls = match &*welcome.borrow() {
                Welcome::Plain => None,
                Welcome::Secured(tls) => Some(Arc::clone(tls)),
                Welcome::Closed => return,
            };
            let served = serve_client(stream, client, tls, self.clone());
            connections.spawn(async move {
                served.await;
                drop(place);
            });
            while connections.try_join_next().is_some() {}
        }
    }
}

async fn all_ended(connections: &mut JoinSet<()>) {
    while connections.join_next().await.is_some() {}
}

async fn serve_client<C: Catalog>(
    stream: listener::Stream,
    client: Client,
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
    let ended = match stream {
        listener::Stream::Tcp(stream) => {
            connection::serve(stream, client, tls, catalog, stop).await
        }
        listener::Stream::Unix(stream) => {
            connection::serve(stream, client, tls, catalog, stop).await
        }
        listener::Stream::Vsock(stream) => {
            connection::serve(stream, client, tls, catalog, stop).await
        }
    };
    metrics.connections.fall(1);
    match ended {
        Ok(end) => metrics.ended(end).one(),
        Err(_) => metrics.socket_failures.one(),
    }
}

/// Serves a single client over a stream that is there already, for use within the process.
pub async fn serve_stream<S, C>(stream: S, catalog: Arc<C>) -> io::Result<connection::End>
where
    S: AsyncRead + AsyncWrite + Unpin,
    C: Catalog,
{
    let (_never, stop) = watch::channel(false);
    connection::serve(stream, Client::default(), None, catalog, stop).await
}
