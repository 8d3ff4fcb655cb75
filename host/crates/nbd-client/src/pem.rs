//! Reads certificates and keys from PEM files. The functions block while they read.

use std::io::BufReader;
use std::path::Path;

use anyhow::{Context as _, ensure};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// All certificates of a file, at least one.
///
/// # Errors
/// The file can't be read or has no valid certificate; the error names it.
pub fn certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let read = || -> anyhow::Result<Vec<_>> {
        let file = BufReader::new(outside::files::read(path)?);
        let certificates = CertificateDer::pem_reader_iter(file).collect::<Result<Vec<_>, _>>()?;
        ensure!(!certificates.is_empty(), "the file has no certificate");
        Ok(certificates)
    };
    read().with_context(|| path.display().to_string())
}

/// The certificate authorities of a file, at least one.
///
/// # Errors
/// As for [`certificates`]; or a certificate can't be that of an authority.
pub fn authorities(path: &Path) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        let added = roots.add(certificate);
        added.with_context(|| path.display().to_string())?;
    }
    Ok(roots)
}

/// The first private key of a file.
///
/// # Errors
/// The file can't be read or has no private key; the error names it.
pub fn key(path: &Path) -> anyhow::Result<PrivateKeyDer<'static>> {
    let named = || format!("{}: can't read a private key from it", path.display());
    let file = BufReader::new(outside::files::read(path).with_context(named)?);
    PrivateKeyDer::from_pem_reader(file).with_context(named)
}
