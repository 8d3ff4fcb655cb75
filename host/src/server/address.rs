//! Addresses as clients use them.

use std::fmt;
use std::path::PathBuf;

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
    /// The NBD URI of an export here (doc/uri.md of the NBD project).
    #[must_use]
    pub fn uri(&self, export: &str) -> String {
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
        let export = encode(export);
        match self {
            Self::Tcp(host, port) if host.contains(':') => {
                format!("nbd://[{host}]:{port}/{export}")
            }
            Self::Tcp(host, port) => format!("nbd://{host}:{port}/{export}"),
            Self::Unix(path) => {
                let path = encode(&path.to_string_lossy()).replace("%2F", "/");
                format!("nbd+unix:///{export}?socket={path}")
            }
            Self::Vsock { cid, port } => {
                // "Any" is no address: the host as its guests call it (vsock(7)).
                let cid = cid.unwrap_or(2);
                format!("nbd+vsock://{cid}:{port}/{export}")
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
        assert_eq!(tcp("127.0.0.1").uri(""), "nbd://127.0.0.1:10809/");
        assert_eq!(tcp("::1").uri("a b/ü"), "nbd://[::1]:10809/a%20b%2F%C3%BC");
        let unix = Address::Unix("/tmp/a b&c".into());
        let vsock = Address::Vsock {
            cid: None,
            port: 10809,
        };
        assert_eq!(vsock.uri("x"), "nbd+vsock://2:10809/x");
        assert_eq!(unix.uri("x"), "nbd+unix:///x?socket=/tmp/a%20b%26c");
    }
}
