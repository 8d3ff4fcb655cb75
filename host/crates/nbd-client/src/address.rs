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
