//! The client's side of TLS: which servers it trusts, and which certificate it presents.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use rustls::ClientConfig;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

use crate::pem;
use crate::{ClientError, Stream, printable};

/// The files that a client needs for TLS, all PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate authorities whose servers the client trusts.
    pub ca: PathBuf,
    /// The client's certificate and its key, for servers that request a certificate.
    pub own: Option<(PathBuf, PathBuf)>,
}

/// What a client needs for a TLS handshake with one server.
#[derive(Clone, Debug)]
pub struct Tls {
    config: Arc<ClientConfig>,
    server: ServerName<'static>,
}

impl TlsFiles {
    /// The files of a folder, by the names that libnbd and QEMU use: `ca-cert.pem`, and `client-cert.pem`
    /// with `client-key.pem` if `client-cert.pem` exists. Blocks for that look, and reads no file.
    #[must_use]
    pub fn in_folder(folder: &Path) -> Self {
        let certificate = folder.join("client-cert.pem");
        let own = certificate.exists();
        Self {
            ca: folder.join("ca-cert.pem"),
            own: own.then(|| (certificate, folder.join("client-key.pem"))),
        }
    }
}

impl Tls {
    /// Reads the files, and blocks meanwhile. The server's certificate must be valid for `server`, a DNS name or an IP
    /// address.
    ///
    /// # Errors
    /// A file can't be read or used, and the error names it; or `server` is neither of the two.
    pub fn load(files: &TlsFiles, server: &str) -> anyhow::Result<Self> {
        let server = ServerName::try_from(server.to_owned());
        let server = server.context("the server's name is neither a DNS name nor an IP address")?;
        //= proto.md#tls-versions
        //# NBD implementations supporting TLS MUST support TLS version 1.2, SHOULD support any later versions.
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(pem::authorities(&files.ca)?);
        let config = match &files.own {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let (chain, private) = (pem::certificates(certificate)?, pem::key(key)?);
                let config = builder.with_client_auth_cert(chain, private);
                config.with_context(|| {
                    let (certificate, key) = (certificate.display(), key.display());
                    format!("{certificate} and {key} can't be used together")
                })?
            }
        };
        let config = Arc::new(config);
        Ok(Self { config, server })
    }

    /// Does the TLS handshake. Dropping the future closes the stream.
    pub(super) async fn connect(&self, stream: Stream) -> Result<Stream, ClientError> {
        let connector = TlsConnector::from(Arc::clone(&self.config));
        //= proto.md#client-side-requirements
        //# If the TLS handshake is unsuccessful (for instance the server's certificate does not validate) the
        //# client MUST terminate the session
        let secured = connector.connect(self.server.clone(), stream).await;
        match secured {
            Ok(stream) => Ok(Box::new(stream)),
            // The error may quote the server's certificate.
            //= proto.md#termination-of-the-session-during-option-haggling
            //# A party that is mandated by this document to terminate the session MUST initiate a hard
            //# disconnect if it is not possible to use a soft disconnect.
            Err(error) => Err(ClientError::Tls(printable(&error.to_string()))),
        }
    }
}
