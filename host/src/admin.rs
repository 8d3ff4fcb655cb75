//! The admin listener: what an operator sees of a running server, over HTTP.
//!
//! `/metrics` for Prometheus, `/exports` as JSON, `/healthz`. It only looks: nothing can be changed by it,
//! and looking waits for no tenant. It's for this machine only, since whoever can connect sees the names
//! and figures of all tenants; and everything that a client of it can do is bounded, so that a bad one
//! costs the tenants nothing.

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

/// Clients at once; those who come later wait. Restrains one that opens many connections.
const CLIENTS: usize = 16;

/// Time for a request's head. Restrains clients that dribble.
const HEAD: Duration = Duration::from_secs(5);

/// Time for a whole connection, which is one request. Restrains clients that don't read.
const LIFE: Duration = Duration::from_secs(30);

/// Headers of a request.
const HEADERS: usize = 32;

/// Bytes of a request's head.
const HEAD_SIZE: usize = 16 << 10;

/// What can be looked at.
#[derive(Debug)]
pub(crate) struct Admin {
    observed: Arc<dyn Observed>,
    server: Arc<ServerMetrics>,
    /// `true` once the server ends.
    stopping: StopSignal,
    /// Answers that are put together at once: one, since each may be some megabytes of text.
    making: Arc<Semaphore>,
}

impl Admin {
    /// Shows these exports and this server; not well any more when `stopping` says so.
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

    /// Answers all who come to a listener, and never ends. Dropping it closes the listener and cuts off whoever is
    /// connected.
    pub(crate) async fn serve(self: Arc<Self>, mut listener: Listener) {
        let name = listener.name().to_owned();
        let failed = |failure: &AcceptFailure| {
            if let AcceptFailure::Hosts(error) = failure {
                tracing::error!(
                    listener = name,
                    "can't accept a connection, and will try again: {error}"
                );
            }
        };
        let mut clients = Tasks::new("a client of the admin listener", CLIENTS);
        loop {
            let (stream, _) = listener.accept(failed).await;
            clients.begin(Arc::clone(&self).serve_client(stream)).await;
        }
    }

    /// Answers the keeper's other servers, and never ends. Dropping it cuts off those that are connected.
    pub(crate) async fn serve_visits(self: Arc<Self>) {
        let mut visits = Tasks::new("a visit of another server", CLIENTS);
        loop {
            let stream = walls::visit().await;
            match UnixStream::from_std(stream.into()) {
                Ok(stream) => visits.begin(Arc::clone(&self).converse(stream)).await,
                Err(error) => tracing::error!(listener = "admin", "can't answer a visit: {error}"),
            }
        }
    }

    async fn serve_client(self: Arc<Self>, stream: Stream) {
        match stream {
            Stream::Tcp(stream) => self.converse(stream).await,
            Stream::Unix(stream) => self.converse(stream).await,
            // Not this machine: such a listener can't be opened.
            Stream::Vsock(_) | Stream::Only(..) => {}
        }
    }

    /// One request and its answer.
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
                "a client of the admin listener: {error}"
            ),
            Err(_) => tracing::debug!(
                listener = "admin",
                "a client of the admin listener took too long"
            ),
        }
    }
}
