//! A client's handshake, for the tests' own clients.

use nbd_proto::client::{Connection, Goal, Negotiation, Progress};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Negotiates up to the transmission phase. Returns what was agreed on, and bytes that were received after the
/// handshake.
pub(crate) async fn negotiate<S>(stream: &mut S, goal: Goal) -> (Connection, Vec<u8>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut negotiation = Negotiation::new(goal);
    let mut received = Vec::new();
    loop {
        let (used, progress) = negotiation.advance(&received).unwrap();
        received.drain(..used);
        stream.write_all(&negotiation.take_output()).await.unwrap();
        match progress {
            Progress::NeedMore => {
                assert_ne!(
                    stream.read_buf(&mut received).await.unwrap(),
                    0,
                    "the server hung up"
                );
            }
            Progress::Connected(connection) => return (connection, received),
            Progress::Listed(_) | Progress::StartTls => panic!("the client requested neither"),
        }
    }
}
