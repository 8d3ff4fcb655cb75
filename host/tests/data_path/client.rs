//! A client over a stream in memory, with many requests in flight.

use std::collections::HashMap;

use nbd_client::{Client as Connected, ClientError};
use nbd_proto::client::{Body, Reply, Request, decode};
use nbd_proto::{Cookie, Framing};
use tokio::io::DuplexStream;

pub(crate) struct Client {
    connected: Connected<DuplexStream>,
    asked: HashMap<u64, Request>,
}

impl Client {
    pub(crate) async fn connect(stream: DuplexStream, framing: Framing) -> Self {
        let connected = Connected::negotiate(stream, "", framing).await.unwrap();
        let asked = HashMap::new();
        Self { connected, asked }
    }

    pub(crate) fn framing(&self) -> Framing {
        self.connected.agreed().framing
    }

    /// The stream, for a test that sends bytes of its own.
    pub(crate) fn stream(&mut self) -> &mut DuplexStream {
        self.connected.stream()
    }

    /// Expects a reply to a request that the test sends itself.
    pub(crate) fn expect(&mut self, request: Request) {
        self.asked.insert(request.cookie.0, request);
    }

    /// Sends a request.
    pub(crate) async fn ask(&mut self, request: Request, payload: &[u8]) {
        let mut bytes = Vec::new();
        request.encode(self.framing(), &mut bytes).unwrap();
        bytes.extend_from_slice(payload);
        self.expect(request);
        self.connected.send(&bytes).await.unwrap();
    }

    pub(crate) async fn read(&mut self, cookie: u64, offset: u64, length: u32) {
        self.ask(Request::read(Cookie(cookie), offset, length), &[])
            .await;
    }

    /// Receives a reply, or a chunk of one, with its data; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<(Reply, Vec<u8>)> {
        loop {
            let (asked, input) = (&self.asked, self.connected.input());
            let find = |cookie: Cookie| asked.get(&cookie.0).copied();
            if let Some(reply) = decode(self.framing(), input, find).unwrap() {
                let length = match reply.body {
                    Body::Data { length, .. } => length as usize,
                    _ => 0,
                };
                if let Some(data) = input.get(reply.used..reply.used + length) {
                    let data = data.to_vec();
                    self.connected.consume(reply.used + length);
                    return Some((reply, data));
                }
            }
            match self.connected.receive().await {
                Ok(()) => {}
                Err(ClientError::HungUp) => return None,
                Err(error) => panic!("{error}"),
            }
        }
    }
}
