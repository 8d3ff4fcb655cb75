//! The client's side: a request to an admin listener.

use anyhow::ensure;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

/// Gets a page of `most` bytes at most. Dropping it closes the stream.
///
/// # Errors
/// The stream fails; the answer isn't HTTP, has another status than 200, or is longer.
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
        ensure!(status == StatusCode::OK, "it answers {status}");
        let body = Limited::new(answer.into_body(), most).collect().await;
        let body = body.map_err(|error| anyhow::anyhow!("its answer broke off: {error}"))?;
        Ok(body.to_bytes())
    };
    let (mut asking, mut connection) = (std::pin::pin!(asking), std::pin::pin!(connection));
    tokio::select! {
        answer = &mut asking => return answer,
        ended = &mut connection => ended?,
    }
    // The whole answer has come.
    asking.await
}
