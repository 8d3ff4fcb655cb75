//! A client that sends one request at a time, with structured replies.

use nbd_proto::client::{Body, Connection, Goal, Request, decode};
use nbd_proto::{Cookie, Errno, Framing};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use crate::negotiate::negotiate;

pub(crate) struct Client {
    stream: UnixStream,
    connection: Connection,
    received: Vec<u8>,
    next_cookie: u64,
}

/// The result of a request: data, or the flags and lengths of a map.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Bytes(Vec<u8>),
    Map(Vec<(u64, u32)>),
}

/// An error and its text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) errno: Errno,
    pub(crate) text: String,
}

impl Client {
    pub(crate) async fn connect(mut stream: UnixStream, export: &str) -> Self {
        let goal = Goal::Go {
            export: export.to_owned(),
            framing: Framing::Structured,
            allocation: true,
        };
        let (connection, received) = negotiate(&mut stream, goal).await;
        Self {
            stream,
            connection,
            received,
            next_cookie: 0,
        }
    }

    pub(crate) async fn read(&mut self, offset: u64, length: u32) -> Result<Vec<u8>, Refused> {
        let request = Request::read(self.cookie(), offset, length);
        match self.ask(request, &[]).await? {
            Answer::Bytes(bytes) => Ok(bytes),
            Answer::Map(_) => panic!("a map for a read"),
        }
    }

    pub(crate) fn cookie(&mut self) -> Cookie {
        self.next_cookie += 1;
        Cookie(self.next_cookie)
    }

    pub(crate) fn framing(&self) -> Framing {
        self.connection.framing
    }

    /// Sends a request, and waits for the whole reply.
    pub(crate) async fn ask(
        &mut self,
        request: Request,
        payload: &[u8],
    ) -> Result<Answer, Refused> {
        let mut bytes = Vec::new();
        request.encode(self.connection.framing, &mut bytes).unwrap();
        bytes.extend_from_slice(payload);
        self.stream.write_all(&bytes).await.unwrap();
        let mut data = Vec::new();
        loop {
            let find = |cookie| (cookie == request.cookie).then_some(request);
            let decoded = decode(self.connection.framing, &self.received, find).unwrap();
            let length = |body: &Body| match body {
                Body::Data { length, .. } => *length as usize,
                _ => 0,
            };
            let whole =
                decoded.filter(|reply| self.received.len() >= reply.used + length(&reply.body));
            let Some(reply) = whole else {
                assert_ne!(
                    self.stream.read_buf(&mut self.received).await.unwrap(),
                    0,
                    "the server hung up"
                );
                continue;
            };
            let end = reply.used + length(&reply.body);
            let piece = self.received[reply.used..end].to_vec();
            self.received.drain(..end);
            match reply.body {
                Body::Nothing => {}
                Body::Data { .. } => data.extend(piece),
                Body::Hole { length, .. } => {
                    data.resize(data.len() + usize::try_from(length).unwrap(), 0);
                }
                Body::BlockStatus { descriptors, .. } => {
                    let map = descriptors.iter().map(|one| (one.length, one.flags.bits()));
                    return Ok(Answer::Map(map.collect()));
                }
                Body::Error { errno, text, .. } => return Err(Refused { errno, text }),
            }
            if reply.done {
                return Ok(Answer::Bytes(data));
            }
        }
    }
}
