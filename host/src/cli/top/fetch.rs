//! Reads a report from an admin listener.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use nbdbox_config::config::Address;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::admin::Report;

/// The time that the listener gets to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The most bytes of an answer. Restrains any other program that listens at the address.
const ANSWER: usize = 256 << 20;

/// Reads `/exports` of the listener at `address`.
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
        Address::Tcp(address) => get(TcpStream::connect(address).await?).await,
        Address::Unix { path, .. } => get(UnixStream::connect(path).await?).await,
        Address::Vsock { .. } | Address::Inherited(_) => bail!("it has no such address"),
    }
}

async fn get<S>(stream: S) -> anyhow::Result<Bytes>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Ends with the answer.
    #[expect(
        clippy::disallowed_methods,
        reason = "the command's own: one, for its one connection"
    )]
    let connection = tokio::spawn(connection);
    let request = Request::get("/exports").header(HOST, "localhost");
    let answer = sender
        .send_request(request.body(Empty::<Bytes>::new())?)
        .await?;
    let status = answer.status();
    ensure!(status == StatusCode::OK, "it answers {status}");
    let body = Limited::new(answer.into_body(), ANSWER).collect().await;
    let body = body.map_err(|error| anyhow::anyhow!("its answer broke off: {error}"))?;
    connection.abort();
    Ok(body.to_bytes())
}
