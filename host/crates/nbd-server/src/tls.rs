//! TLS on a listener: the server's certificate, and those of its clients.
//!
//! For each client that requests TLS the server looks at the files, and reads them again if they have
//! changed. If it can't use the new files, it keeps the old configuration and logs that once.

mod files;
mod names;

use std::io;
use std::sync::Arc;

use device::identity::Certificate;
use lanes::Work;
use nbd_proto::TlsMode;
use nbdbox_config::config::{self, TlsFiles};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;

use self::files::Stamps;

/// The TLS configuration of a listener, which follows its files.
#[derive(Debug)]
pub struct Tls {
    mode: TlsMode,
    files: TlsFiles,
    state: Arc<Mutex<State>>,
}

/// The configuration, from the last files that the server could use.
#[derive(Debug)]
struct State {
    config: Arc<ServerConfig>,
    /// The files that the server read last, even if it couldn't use them.
    stamps: Stamps,
}

/// The result of a TLS handshake with a client.
#[derive(Debug)]
pub struct Accepted<S> {
    /// The stream over TLS.
    pub stream: Box<TlsStream<S>>,
    /// The names in the client's certificate, which was checked; `None` if the server requests none.
    pub certificate: Option<Certificate>,
}

impl Tls {
    /// Reads the files of a listener, and blocks meanwhile; `None` if the listener has no TLS.
    ///
    /// # Errors
    /// A file can't be read or used; the error names it.
    pub fn load(tls: &config::Tls) -> anyhow::Result<Option<Arc<Self>>> {
        let (mode, files) = match tls {
            config::Tls::Off => return Ok(None),
            config::Tls::On(files) => (TlsMode::Offer, files),
            config::Tls::Require(files) => (TlsMode::Require, files),
        };
        // Taken before the files are read: if they change meanwhile, the next client causes another read.
        let stamps = files::stamps(files);
        let config = files::read(files)?;
        Ok(Some(Arc::new(Self {
            mode,
            files: files.clone(),
            state: Arc::new(Mutex::new(State { config, stamps })),
        })))
    }

    /// Whether the listener offers or requires TLS.
    #[must_use]
    pub fn mode(&self) -> TlsMode {
        self.mode
    }

    /// Does the TLS handshake with a client, without a time limit. Dropping the future closes the stream.
    ///
    /// # Errors
    /// The handshake failed, or the client's certificate can't be parsed. Returns the stream, which is only good for
    /// closing. Unless the connection failed, the client gets an alert.
    pub async fn accept<S>(&self, stream: S) -> Result<Accepted<S>, (io::Error, S)>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let acceptor = TlsAcceptor::from(self.current().await);
        let stream = acceptor.accept(stream).into_fallible().await?;
        let (_, session) = stream.get_ref();
        let shown = session.peer_certificates().and_then(<[_]>::first);
        match shown.map(names::of).transpose() {
            Ok(certificate) => Ok(Accepted {
                stream: Box::new(stream),
                certificate,
            }),
            Err(error) => Err((error, stream.into_inner().0)),
        }
    }

    /// The configuration from the files as they are now, or from the last that the server could use.
    async fn current(&self) -> Arc<ServerConfig> {
        let state = Arc::clone(&self.state).lock_owned().await;
        let before = Arc::clone(&state.config);
        let files = self.files.clone();
        // A disk that hangs must not hold a worker thread. The job holds the lock to its end, so each listener has at
        // most one such job.
        let looked = Work::of_the_host().run(move || look(state, &files));
        looked.await.unwrap_or(before)
    }
}

/// Looks at the files, and reads them if they have changed. Blocks meanwhile.
fn look(mut state: OwnedMutexGuard<State>, files: &TlsFiles) -> Arc<ServerConfig> {
    let stamps = files::stamps(files);
    if stamps != state.stamps {
        state.stamps = stamps;
        let certificate = files.certificate.display();
        match files::read(files) {
            Ok(config) => {
                state.config = config;
                tracing::info!(
                    target: "nbdbox::tls",
                    "TLS: read again {certificate} and the files that belong to it, because they changed"
                );
            }
            Err(error) => {
                tracing::error!(
                    target: "nbdbox::tls",
                    "TLS goes on with the certificate that it has, because it can't use the new files: {error:#}"
                );
            }
        }
    }
    Arc::clone(&state.config)
}
