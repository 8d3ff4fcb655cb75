//! Closes a connection without losing the replies that are on their way.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

/// Time that a client has to read its last replies and close. Restrains a client that does neither.
const LINGER: Duration = Duration::from_secs(1);

/// Bytes read and dropped at once.
const LINGER_READ: usize = 16 << 10;

/// Closes the sending side, and drops the client's bytes until the client closes too. Otherwise the kernel
/// would discard replies on their way, because a TCP socket was closed with unread input. Takes at most 1 s.
pub(super) async fn linger<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    let mut rest = vec![0; LINGER_READ];
    let heard = async {
        //= proto.md#termination-of-the-session-during-option-haggling
        //# If TLS is negotiated, the party initiating the transaction SHOULD shutdown TLS first if it is
        //# running.
        stream.shutdown().await?;
        while stream.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    };
    // A client that doesn't read, or is gone, loses its replies.
    let _ = timeout(LINGER, heard).await;
}
