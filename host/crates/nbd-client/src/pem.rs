//! Certificates and keys in PEM files.

use std::io::BufReader;
use std::path::Path;

use anyhow::{Context as _, ensure};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// All certificates of a file; one at least.
///
/// # Errors
/// Names the file.
pub fn certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let read = || -> anyhow::Result<Vec<_>> {
        let file = BufReader::new(outside::files::read(path)?);
        let certificates = CertificateDer::pem_reader_iter(file).collect::<Result<Vec<_>, _>>()?;
        ensure!(!certificates.is_empty(), "there is no certificate in it");
        Ok(certificates)
    };
    read().with_context(|| path.display().to_string())
}

/// The authorities of a file; one at least.
///
/// # Errors
/// Names the file.
pub fn authorities(path: &Path) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        let added = roots.add(certificate);
        added.with_context(|| path.display().to_string())?;
    }
    Ok(roots)
}

/// The key of a file.
///
/// # Errors
/// Names the file.
pub fn key(path: &Path) -> anyhow::Result<PrivateKeyDer<'static>> {
    let named = || format!("{}: no private key can be read", path.display());
    let file = BufReader::new(outside::files::read(path).with_context(named)?);
    PrivateKeyDer::from_pem_reader(file).with_context(named)
}
