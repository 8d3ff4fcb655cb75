//! Listeners and the life of the process: who comes in, and how it ends.

mod listener;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

pub use listener::{Address, Listener};

use crate::connection::{self, StopSignal};
use crate::device::Catalog;

/// Time that connections have to finish what is under way when the server stops. Restrains clients
/// that don't read their replies.
const DRAIN: Duration = Duration::from_secs(10);

/// A pause after `accept` failed: out of descriptors, most likely, so trying at once is of no use.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves the catalog to all who come, until `stop` says so; then drains.
pub async fn serve<C: Catalog>(listener: Listener, catalog: Arc<C>, mut stop: StopSignal) {
    let places = Arc::new(Semaphore::new(catalog.limits().connections));
    let mut connections = JoinSet::new();
    loop {
        // Those who come while all places are taken wait in the listener's backlog.
        let place = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            place = Arc::clone(&places).acquire_owned() => place,
        };
        let accepted = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(stream) => {
                let client = client(stream, Arc::clone(&catalog), stop.clone());
                connections.spawn(async move {
                    client.await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::error!("can't accept a connection: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    let drained = timeout(DRAIN, async {
        while connections.join_next().await.is_some() {}
    });
    if drained.await.is_err() {
        tracing::warn!("{} connections didn't end in time", connections.len());
    }
}

async fn client<C: Catalog>(stream: listener::Stream, catalog: Arc<C>, stop: StopSignal) {
    match stream {
        listener::Stream::Tcp(stream, peer) => {
            tracing::debug!(%peer, "connected");
            report(connection::serve(stream, catalog, stop).await);
        }
        listener::Stream::Unix(stream) => {
            tracing::debug!("connected");
            report(connection::serve(stream, catalog, stop).await);
        }
    }
}

fn report(ended: io::Result<connection::End>) {
    match ended {
        Ok(end) => tracing::debug!(?end, "connection ended"),
        Err(error) => tracing::debug!(%error, "connection ended"),
    }
}

/// Serves a single client over a stream that is there already, for use within the process.
pub async fn serve_stream<S, C>(stream: S, catalog: Arc<C>) -> io::Result<connection::End>
where
    S: AsyncRead + AsyncWrite + Unpin,
    C: Catalog,
{
    let (_never, stop) = watch::channel(false);
    connection::serve(stream, catalog, stop).await
}
