//! The TLS options of `map`: the authorities to trust, and the client's own certificate.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use nbd_client::{Tls, TlsFiles, Uri};

/// The options of `map` about TLS.
#[derive(Debug, Args)]
pub(super) struct TlsArgs {
    /// Over TLS: trust the authorities in this PEM file, whatever the URI has
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,

    /// Over TLS: the certificate, a PEM file, for a server that requires one
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,

    /// Over TLS: the certificate's key, a PEM file
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
}

impl TlsArgs {
    /// Whether the command line has none of these options.
    pub(super) fn is_empty(&self) -> bool {
        self.tls_ca.is_none() && self.tls_certificate.is_none()
    }

    /// The TLS settings for a URI's server; `None` if the URI isn't for TLS.
    pub(super) fn tls(&self, uri: &Uri) -> anyhow::Result<Option<Tls>> {
        let Some(said) = uri.tls() else {
            return Ok(None);
        };
        let folder = said.certificates.as_deref().map(TlsFiles::in_folder);
        let (ca, own) = folder.map_or((None, None), |files| (Some(files.ca), files.own));
        let ca = self.tls_ca.clone().or(ca);
        let given = self.tls_certificate.clone().zip(self.tls_key.clone());
        let files = TlsFiles {
            ca: ca.context("TLS needs an authority to trust: --tls-ca FILE, or tls-certificates=DIR in the URI")?,
            own: given.or(own),
        };
        Tls::load(&files, &said.server).map(Some)
    }
}
