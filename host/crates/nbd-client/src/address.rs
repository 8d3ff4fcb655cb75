//! Addresses as clients use them.

use std::fmt;
use std::path::{Path, PathBuf};

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A host name or address, and a port; port 0 is any that is free.
    Tcp(String, u16),
    /// A path.
    Unix(PathBuf),
    /// A port of a virtual machine's host.
    Vsock {
        /// The context id; any if none.
        cid: Option<u32>,
        /// The port.
        port: u32,
    },
}

impl Address {
    /// The NBD URI of an export here (doc/uri.md of the NBD project); over TLS, with certificates from
    /// this folder, if there is one.
    #[must_use]
    pub fn uri(&self, export: &str, certificates: Option<&Path>) -> String {
        let encode = |text: &str| -> String {
            url::form_urlencoded::byte_serialize(text.as_bytes())
                .flat_map(|part| {
                    if part == "+" {
                        "%20".chars()
                    } else {
                        part.chars()
                    }
                })
                .collect()
        };
        let encode_path = |path: &Path| encode(&path.to_string_lossy()).replace("%2F", "/");
        let export = encode(export);
        let nbd = if certificates.is_some() {
            "nbds"
        } else {
            "nbd"
        };
        let uri = match self {
            Self::Tcp(host, port) if host.contains(':') => {
                format!("{nbd}://[{host}]:{port}/{export}")
            }
            Self::Tcp(host, port) => format!("{nbd}://{host}:{port}/{export}"),
            Self::Unix(path) => {
                let path = encode_path(path);
                format!("{nbd}+unix:///{export}?socket={path}")
            }
            Self::Vsock { cid, port } => {
                // "Any" is no address: the host as its guests call it (vsock(7)).
                let cid = cid.unwrap_or(2);
                format!("{nbd}+vsock://{cid}:{port}/{export}")
            }
        };
        match certificates {
            None => uri,
            Some(folder) => {
                let joint = if uri.contains('?') { '&' } else { '?' };
                format!("{uri}{joint}tls-certificates={}", encode_path(folder))
            }
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(host, port) => write!(f, "{host} port {port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Vsock { cid: None, port } => write!(f, "vsock port {port}"),
            Self::Vsock {
                cid: Some(cid),
                port,
            } => write!(f, "vsock cid {cid} port {port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_are_quoted() {
        let tcp = |host: &str| Address::Tcp(host.to_owned(), 10809);
        assert_eq!(tcp("127.0.0.1").uri("", None), "nbd://127.0.0.1:10809/");
        assert_eq!(
            tcp("::1").uri("a b/ü", None),
            "nbd://[::1]:10809/a%20b%2F%C3%BC"
        );
        let unix = Address::Unix("/tmp/a b&c".into());
        let vsock = Address::Vsock {
            cid: None,
            port: 10809,
        };
        assert_eq!(vsock.uri("x", None), "nbd+vsock://2:10809/x");
        let uri = "nbd+unix:///x?socket=/tmp/a%20b%26c";
        assert_eq!(unix.uri("x", None), uri);
        assert_eq!(
            unix.uri("x", Some(Path::new("/pki/a b"))),
            uri.replace("nbd+", "nbds+") + "&tls-certificates=/pki/a%20b"
        );
    }
}
