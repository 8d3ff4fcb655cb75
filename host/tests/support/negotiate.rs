//! A client's handshake, for the clients of these tests.

use nbd_proto::client::{Connection, Goal, Negotiation, Progress};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Gets to the transmission phase; returns what was agreed, and what was received beyond it.
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
                assert_ne!(stream.read_buf(&mut received).await.unwrap(), 0, "hung up");
            }
            Progress::Connected(connection) => return (connection, received),
            Progress::Listed(_) | Progress::StartTls => panic!("asked for neither"),
        }
    }
}
