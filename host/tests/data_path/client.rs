//! A client over a stream in memory.

use std::collections::HashMap;

use nbd_proto::client::{Body, Connection, Goal, Reply, Request, decode};
use nbd_proto::{Cookie, Framing};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use crate::negotiate::negotiate;

pub(crate) struct Client {
    pub(crate) stream: DuplexStream,
    pub(crate) connection: Connection,
    received: Vec<u8>,
    asked: HashMap<u64, Request>,
}

impl Client {
    pub(crate) async fn connect(mut stream: DuplexStream, framing: Framing) -> Self {
        let goal = Goal::Go {
            export: String::new(),
            framing,
            allocation: true,
        };
        let (connection, received) = negotiate(&mut stream, goal).await;
        Self {
            stream,
            connection,
            received,
            asked: HashMap::new(),
        }
    }

    /// Expects a reply to a request that the test sends itself.
    pub(crate) fn expect(&mut self, request: Request) {
        self.asked.insert(request.cookie.0, request);
    }

    /// Sends a request.
    pub(crate) async fn ask(&mut self, request: Request, payload: &[u8]) {
        let mut bytes = Vec::new();
        request.encode(self.connection.framing, &mut bytes).unwrap();
        bytes.extend_from_slice(payload);
        self.expect(request);
        self.stream.write_all(&bytes).await.unwrap();
    }

    pub(crate) async fn read(&mut self, cookie: u64, offset: u64, length: u32) {
        self.ask(Request::read(Cookie(cookie), offset, length), &[])
            .await;
    }

    /// Receives a reply, or a chunk of one, with its data; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<(Reply, Vec<u8>)> {
        loop {
            let asked = &self.asked;
            let find = |cookie: Cookie| asked.get(&cookie.0).copied();
            let decoded = decode(self.connection.framing, &self.received, find).unwrap();
            let data = |reply: &Reply| match reply.body {
                Body::Data { length, .. } => length as usize,
                _ => 0,
            };
            let whole = decoded.filter(|reply| self.received.len() >= reply.used + data(reply));
            if let Some(reply) = whole {
                let length = data(&reply);
                let bytes = self.received[reply.used..reply.used + length].to_vec();
                self.received.drain(..reply.used + length);
                return Some((reply, bytes));
            }
            if self.stream.read_buf(&mut self.received).await.unwrap() == 0 {
                return None;
            }
        }
    }
}
