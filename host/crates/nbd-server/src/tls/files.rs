//! Reads the files of a TLS configuration, and recognizes when they change.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use nbd_client::pem;
use nbdbox_config::config::TlsFiles;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

/// Inode, size and time of change (seconds and nanoseconds) of each file; `None` for a file that can't be found. Equal
/// stamps mean that no file has changed.
pub(super) type Stamps = Vec<Option<(u64, u64, (i64, i64))>>;

/// The stamps of the files as they are now. Blocks.
pub(super) fn stamps(files: &TlsFiles) -> Stamps {
    let paths = [Some(&files.certificate), Some(&files.key)];
    let paths = paths.into_iter().chain([files.client_ca.as_ref()]);
    let stamp = |path: &Path| {
        let seen = outside::files::look(path).ok()?;
        Some((seen.inode, seen.size, seen.changed))
    };
    paths.flatten().map(|path| stamp(path)).collect()
}

/// Reads the files and makes a configuration of them. Blocks.
///
/// # Errors
/// A file can't be read or used; the error names it.
pub(super) fn read(files: &TlsFiles) -> anyhow::Result<Arc<ServerConfig>> {
    let provider = Arc::new(ring::default_provider());
    let key = certified_key(files, &provider)?;
    // "TLS version 1.2 or later" (section "TLS versions" of the NBD protocol): rustls has no others.
    //= proto.md#tls-versions
    //# NBD implementations supporting TLS MUST support TLS version 1.2, SHOULD support any later versions.
    //= proto.md#tls-versions
    //# MAY support older versions but SHOULD NOT do so by default
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let roots = Arc::new(pem::authorities(path)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
            let verifier = verifier.build();
            builder.with_client_cert_verifier(verifier.with_context(|| path.display().to_string())?)
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
    // Without resumption the server checks each client's certificate anew: it may have expired, or its CA may have been
    // removed.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// The server's certificate and its key, which must belong together.
fn certified_key(files: &TlsFiles, provider: &CryptoProvider) -> anyhow::Result<CertifiedKey> {
    let TlsFiles {
        certificate, key, ..
    } = files;
    let (chain, private) = (pem::certificates(certificate)?, pem::key(key)?);
    CertifiedKey::from_der(chain, private, provider).with_context(|| {
        let (certificate, key) = (certificate.display(), key.display());
        format!("{certificate} and {key} can't be used together")
    })
}
