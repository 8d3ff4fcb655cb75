//! The errors of a client.

use std::io;
use std::time::Duration;

use nbd_proto::Errno;
use thiserror::Error;

use crate::printable;

/// Why a client gives up. Its text is safe on a terminal: the texts of the server in it are escaped.
#[derive(Debug, Error)]
pub enum ClientError {
    /// Nothing listens at the address, or there is no route to it.
    #[error("can't connect")]
    Unreachable(#[source] io::Error),
    /// The connection failed.
    #[error("the connection failed")]
    Broken(#[source] io::Error),
    /// The TLS handshake failed: one side doesn't trust the other, or doesn't support TLS.
    #[error("TLS failed: {0}")]
    Tls(String),
    /// The server closed the connection.
    #[error("the server closed the connection")]
    HungUp,
    /// The server didn't finish the handshake in this time.
    #[error("the server didn't finish the handshake in {} s", .0.as_secs())]
    Silent(Duration),
    /// The server refused the export, or broke the protocol. The text is escaped.
    #[error("{0}")]
    Protocol(String),
    /// The server answered a block status request with an error.
    #[error("block status at {offset} failed with {errno}{}", reason(text))]
    Failed {
        /// The server's error.
        errno: Errno,
        /// The request's offset in bytes.
        offset: u64,
        /// The server's explanation, escaped; may be empty.
        text: String,
    },
    /// The server doesn't report where data and holes are.
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
