//! Reads a report from an admin listener.

use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use nbdbox_config::config::Address;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::admin::{Report, get};

/// The page that `nbdbox top` shows.
const PAGE: &str = "/exports";

/// The time that the listener gets to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The most bytes of an answer. Restrains any other program that listens at the address.
const ANSWER: usize = 256 << 20;

/// Reads `/exports` of the listener at `address`, within [`PATIENCE`]. Dropping the future closes the connection.
///
/// # Errors
/// The listener can't be reached, doesn't answer in time, or isn't nbdbox of this version. The error names the address.
pub(super) async fn report(address: &Address) -> anyhow::Result<Report> {
    let asked = timeout(PATIENCE, ask(address)).await;
    let text = asked
        .context("no answer in time")
        .and_then(|text| text)
        .with_context(|| format!("can't read from the admin listener at {address}"))?;
    serde_json::from_slice(&text)
        .with_context(|| format!("the program at {address} isn't nbdbox, or is another version"))
}

async fn ask(address: &Address) -> anyhow::Result<Bytes> {
    match address {
        Address::Tcp(address) => get(TcpStream::connect(address).await?, PAGE, ANSWER).await,
        Address::Unix { path, .. } => get(UnixStream::connect(path).await?, PAGE, ANSWER).await,
        Address::Vsock { .. } | Address::Inherited(_) => {
            bail!("an admin listener is a unix socket or a loopback address")
        }
    }
}
