//! Certificates, made anew for each test, in folders such as libnbd, QEMU and nbdkit expect.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tempfile::TempDir;

/// A certificate authority.
#[derive(Debug)]
pub struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// The contents of a certificate, which an [`Authority`] signs.
#[derive(Clone, Debug)]
pub struct Says {
    /// The subject is `CN=…,O=Example`.
    pub common_name: &'static str,
    /// Subject alternative names.
    pub names: Vec<SanType>,
    /// The last year in which it's valid.
    pub until: i32,
}

/// The contents of a certificate for `common_name`, valid far into the future.
#[must_use]
pub fn says(common_name: &'static str) -> Says {
    Says {
        common_name,
        names: Vec::new(),
        until: 2200,
    }
}

/// The contents of a certificate for a server on this machine.
#[must_use]
pub fn localhost() -> Says {
    let dns = SanType::DnsName("localhost".try_into().unwrap());
    let ip = SanType::IpAddress("127.0.0.1".parse().unwrap());
    Says {
        names: vec![dns, ip],
        ..says("server")
    }
}

impl Authority {
    /// A new authority, which nobody trusts yet.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "no two are the same")]
    pub fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let name = &mut params.distinguished_name;
        name.push(DnType::CommonName, "A test's authority");
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self {
            pem: certificate.pem(),
            issuer: Issuer::new(params, key),
        }
    }

    /// Writes `ROLE-cert.pem` and `ROLE-key.pem`, each in one step.
    fn sign(&self, folder: &Path, role: &str, says: &Says) {
        let mut params = CertificateParams::new([]).unwrap();
        params.subject_alt_names.clone_from(&says.names);
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(says.until, 1, 1);
        // QEMU requires the second usage too.
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyEncipherment,
        ];
        params.extended_key_usages = vec![match role {
            "server" => ExtendedKeyUsagePurpose::ServerAuth,
            _ => ExtendedKeyUsagePurpose::ClientAuth,
        }];
        let mut name = DistinguishedName::new();
        name.push(DnType::OrganizationName, "Example");
        name.push(DnType::CommonName, says.common_name);
        params.distinguished_name = name;
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        put(
            &folder.join(format!("{role}-key.pem")),
            &key.serialize_pem(),
        );
        put(&folder.join(format!("{role}-cert.pem")), &certificate.pem());
    }

    /// Puts a server's certificate and key into a folder.
    pub fn sign_server(&self, folder: &Path, says: &Says) {
        self.sign(folder, "server", says);
    }

    /// A server's folder: its certificate, and this authority to verify clients.
    #[must_use]
    pub fn server(&self, says: &Says) -> TempDir {
        let folder = self.nobody();
        self.sign_server(folder.path(), says);
        folder
    }

    /// A client's folder: its certificate, and this authority to verify servers.
    #[must_use]
    pub fn client(&self, says: &Says) -> TempDir {
        let folder = self.nobody();
        self.sign(folder.path(), "client", says);
        folder
    }

    /// The folder of a client that trusts this authority and has no certificate.
    #[must_use]
    pub fn nobody(&self) -> TempDir {
        let folder = TempDir::with_prefix("nbdbox-pki-").unwrap();
        self.write(folder.path());
        folder
    }

    /// Writes this authority's certificate to a folder.
    pub fn write(&self, folder: &Path) {
        put(&folder.join("ca-cert.pem"), &self.pem);
    }
}

fn put(path: &Path, text: &str) {
    let next: PathBuf = path.with_extension("next");
    fs::write(&next, text).unwrap();
    fs::rename(next, path).unwrap();
}

/// The rustls settings for a client's folder, with this version of TLS only.
#[must_use]
pub fn rustls_client(
    folder: &Path,
    version: &'static SupportedProtocolVersion,
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_file(folder.join("ca-cert.pem")).unwrap();
    roots.add(authority).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots);
    let certificate = folder.join("client-cert.pem");
    Arc::new(if certificate.exists() {
        let certificate = CertificateDer::from_pem_file(certificate).unwrap();
        let key = PrivateKeyDer::from_pem_file(folder.join("client-key.pem")).unwrap();
        builder
            .with_client_auth_cert(vec![certificate], key)
            .unwrap()
    } else {
        builder.with_no_client_auth()
    })
}
