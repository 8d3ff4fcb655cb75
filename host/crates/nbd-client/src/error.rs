//! What can go wrong with a server.

use std::io;
use std::time::Duration;

use nbd_proto::Errno;
use thiserror::Error;

use crate::printable;

/// Why a client gives up. Fit for a terminal: what the server said is escaped.
#[derive(Debug, Error)]
pub enum ClientError {
    /// Nobody listens, or there's no way there.
    #[error("can't connect")]
    Unreachable(#[source] io::Error),
    /// The connection failed.
    #[error("the connection broke")]
    Broken(#[source] io::Error),
    /// TLS didn't come about: one side doesn't trust the other, or doesn't speak it.
    #[error("TLS failed: {0}")]
    Tls(String),
    /// The server closed the connection.
    #[error("the server hung up")]
    HungUp,
    /// The server doesn't get on with the handshake.
    #[error("the server didn't finish the handshake in {} s", .0.as_secs())]
    Silent(Duration),
    /// The server refused the export, or broke the protocol.
    #[error("{0}")]
    Protocol(String),
    /// A request failed.
    #[error("the server says {errno} to block status at {offset}{}", reason(text))]
    Failed {
        /// The error.
        errno: Errno,
        /// Where the request began.
        offset: u64,
        /// The server's explanation, escaped; may be empty.
        text: String,
    },
    /// The server doesn't know where data and holes are.
    #[error(
        "the server doesn't support the metadata context `base:allocation`, so there is nothing to map"
    )]
    NoAllocation,
}

fn reason(text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!(": {text}")
    }
}

impl From<nbd_proto::client::ClientError> for ClientError {
    fn from(error: nbd_proto::client::ClientError) -> Self {
        Self::Protocol(printable(&error.to_string()))
    }
}
