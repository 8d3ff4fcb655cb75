//! TLS on a listener: what the server shows, whom it asks to show something, and who that was.
//!
//! The files are looked at again for each client who wants TLS; when they've changed they're read
//! again. New ones that are of no use change nothing, and the log says so once.

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

/// TLS as a listener speaks it.
#[derive(Debug)]
pub struct Tls {
    mode: TlsMode,
    files: TlsFiles,
    state: Arc<Mutex<State>>,
}

/// What the files said when they were last of use.
#[derive(Debug)]
struct State {
    config: Arc<ServerConfig>,
    /// The files that were last looked into, of use or not.
    stamps: Stamps,
}

/// A client with whom a TLS handshake was done.
#[derive(Debug)]
pub struct Accepted<S> {
    /// The stream over TLS.
    pub stream: Box<TlsStream<S>>,
    /// What the client has shown, checked; `None` if nothing was asked for.
    pub certificate: Option<Certificate>,
}

impl Tls {
    /// Reads the files of a listener; `None` if it's plain.
    ///
    /// # Errors
    /// Names the file that can't be read or used, and why.
    pub fn load(tls: &config::Tls) -> anyhow::Result<Option<Arc<Self>>> {
        let (mode, files) = match tls {
            config::Tls::Off => return Ok(None),
            config::Tls::On(files) => (TlsMode::Offer, files),
            config::Tls::Require(files) => (TlsMode::Require, files),
        };
        // Before the files: should they change meanwhile, they're read again.
        let stamps = files::stamps(files);
        let config = files::read(files)?;
        Ok(Some(Arc::new(Self {
            mode,
            files: files.clone(),
            state: Arc::new(Mutex::new(State { config, stamps })),
        })))
    }

    /// Whether it's offered or required.
    #[must_use]
    pub fn mode(&self) -> TlsMode {
        self.mode
    }

    /// Does the TLS handshake.
    ///
    /// # Errors
    /// It failed: whose fault that is the error says, and the stream is as good as closed. The client
    /// has been told by an alert, if it's still there.
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

    /// What the files say now, or said when they were last of use.
    async fn current(&self) -> Arc<ServerConfig> {
        let state = Arc::clone(&self.state).lock_owned().await;
        let before = Arc::clone(&state.config);
        let files = self.files.clone();
        // A disk that hangs must not keep a worker. One look at a time for each listener, since it holds the lock to its end.
        let looked = Work::of_the_host().run(move || look(state, &files));
        looked.await.unwrap_or(before)
    }
}

/// Looks at the files, and reads them if they've changed.
fn look(mut state: OwnedMutexGuard<State>, files: &TlsFiles) -> Arc<ServerConfig> {
    let stamps = files::stamps(files);
    if stamps != state.stamps {
        state.stamps = stamps;
        let certificate = files.certificate.display();
        match files::read(files) {
            Ok(config) => {
                state.config = config;
                tracing::info!(target: "nbdbox::tls", "TLS: {certificate} and what belongs to it were read again");
            }
            Err(error) => {
                tracing::error!(target: "nbdbox::tls", "TLS goes on with the certificate it has: {error:#}");
            }
        }
    }
    Arc::clone(&state.config)
}
