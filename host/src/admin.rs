//! The admin listener: it shows an operator the state of a running server, over HTTP.
//!
//! It has `/metrics` for Prometheus, `/exports` as JSON, and `/healthz`. It changes nothing, and waits for no tenant.
//! Only clients on this machine can connect, since they see the names and figures of all tenants. Everything that a
//! client can do is bounded, so that a bad client costs the tenants nothing.

mod answer;
mod exports;
mod exposition;
mod family;
mod layers;
mod merge;
mod others;
mod report;
mod resources;
mod visit;

use std::sync::Arc;
use std::time::Duration;

use device::metrics::Observed;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, body::Incoming};
use hyper_util::rt::{TokioIo, TokioTimer};
use nbd_server::{AcceptFailure, Listener, ServerMetrics, StopSignal, Stream, Tasks};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

pub(crate) use visit::get;

use crate::walls;

pub(crate) use report::{ExportReport, LayerReport, ProcessReport, Report, StorageReport};

/// The most clients at once; further ones wait. Restrains a client that opens many connections.
const CLIENTS: usize = 16;

/// The time that a client gets to send a request's head. Restrains clients that dribble.
const HEAD: Duration = Duration::from_secs(5);

/// The time that a connection gets, which has one request. Restrains clients that don't read.
const LIFE: Duration = Duration::from_secs(30);

/// The most headers of a request. Restrains a client that sends them without end.
const HEADERS: usize = 32;

/// The most bytes of a request's head. Restrains the memory that a client takes.
const HEAD_SIZE: usize = 16 << 10;

/// The pages of the admin listener, and the data that they show.
#[derive(Debug)]
pub(crate) struct Admin {
    observed: Arc<dyn Observed>,
    server: Arc<ServerMetrics>,
    /// `true` once the server drains.
    stopping: StopSignal,
    /// The turn to make a page. There is one, since a page may have some megabytes of text.
    making: Arc<Semaphore>,
}

impl Admin {
    /// Pages of these exports and this server. `/healthz` fails once `stopping` is `true`.
    #[must_use]
    pub(crate) fn new(
        observed: Arc<dyn Observed>,
        server: Arc<ServerMetrics>,
        stopping: StopSignal,
    ) -> Arc<Self> {
        Arc::new(Self {
            observed,
            server,
            stopping,
            making: Arc::new(Semaphore::new(1)),
        })
    }

    /// Answers the clients of a listener, and never returns. Dropping the future closes the listener and all
    /// connections.
    pub(crate) async fn serve(self: Arc<Self>, mut listener: Listener) {
        let name = listener.name().to_owned();
        let failed = |failure: &AcceptFailure| {
            if let AcceptFailure::Hosts(error) = failure {
                tracing::error!(
                    listener = name,
                    "can't accept a connection, and will retry: {error}"
                );
            }
        };
        let mut clients = Tasks::new("a client of the admin listener", CLIENTS);
        loop {
            let (stream, _) = listener.accept(failed).await;
            clients.begin(Arc::clone(&self).serve_client(stream)).await;
        }
    }

    /// Answers visits of the admin server, and never returns. Dropping the future closes all connections.
    pub(crate) async fn serve_visits(self: Arc<Self>) {
        let mut visits = Tasks::new("a visit of the admin server", CLIENTS);
        loop {
            let stream = walls::visit().await;
            match UnixStream::from_std(stream.into()) {
                Ok(stream) => visits.begin(Arc::clone(&self).converse(stream)).await,
                Err(error) => {
                    tracing::error!(listener = "admin", "can't answer the admin server: {error}");
                }
            }
        }
    }

    async fn serve_client(self: Arc<Self>, stream: Stream) {
        match stream {
            Stream::Tcp(stream) => self.converse(stream).await,
            Stream::Unix(stream) => self.converse(stream).await,
            // `OpenSocket::admin` opens no such listener.
            Stream::Vsock(_) | Stream::Only(..) => {}
        }
    }

    /// Answers one request, within [`LIFE`].
    async fn converse<S>(self: Arc<Self>, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = service_fn(|request: Request<Incoming>| {
            let admin = Arc::clone(&self);
            async move { admin.answer(&request).await }
        });
        let served = http1::Builder::new()
            .keep_alive(false)
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .max_headers(HEADERS)
            .max_buf_size(HEAD_SIZE)
            .serve_connection(TokioIo::new(stream), service);
        match timeout(LIFE, served).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(
                listener = "admin",
                "the connection of an admin client failed: {error}"
            ),
            Err(_) => tracing::debug!(
                listener = "admin",
                "the server closed the connection of an admin client after {LIFE:?}"
            ),
        }
    }
}
