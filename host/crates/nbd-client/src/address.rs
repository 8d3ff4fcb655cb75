//! Addresses of servers, as clients use them.

use std::fmt;
use std::path::PathBuf;

/// The address on which a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A host name or IP address, and a port. A server that binds port 0 gets any free port.
    Tcp(String, u16),
    /// The path of a unix socket.
    Unix(PathBuf),
    /// A vsock port, through which virtual machines reach their host.
    Vsock {
        /// The context id; `None` for any.
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
