//! The end of a connection, without losing what is on its way.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

/// Time that a client has to read its last replies and close. Restrains one that doesn't.
const LINGER: Duration = Duration::from_secs(1);

/// Bytes dropped at once meanwhile.
const LINGER_READ: usize = 16 << 10;

/// Ends the sending side, and drops what the client still sends until it has heard of that: closing
/// a TCP socket with unread input would make the kernel throw away replies that are on their way.
pub(super) async fn linger<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    let mut rest = vec![0; LINGER_READ];
    let heard = async {
        stream.shutdown().await?;
        while stream.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    };
    // A client that doesn't listen, or is gone, loses what it hasn't read.
    let _ = timeout(LINGER, heard).await;
}
