//! The client of an admin listener.

use anyhow::ensure;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

/// Reads a page of at most `most` bytes. Dropping the future closes the stream. The caller sets a time limit.
///
/// # Errors
/// The stream fails; the answer isn't HTTP, its status isn't 200, or it's longer than `most`.
pub(crate) async fn get<S>(stream: S, page: &str, most: usize) -> anyhow::Result<Bytes>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(page).header(HOST, "localhost");
    let request = request.body(Empty::<Bytes>::new())?;
    let asking = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        ensure!(status == StatusCode::OK, "the server answered {status}");
        let body = Limited::new(answer.into_body(), most).collect().await;
        let body = body.map_err(|error| anyhow::anyhow!("the answer broke off: {error}"))?;
        Ok(body.to_bytes())
    };
    let (mut asking, mut connection) = (std::pin::pin!(asking), std::pin::pin!(connection));
    tokio::select! {
        answer = &mut asking => return answer,
        ended = &mut connection => ended?,
    }
    // The connection has ended in order, so the whole answer is here.
    asking.await
}
