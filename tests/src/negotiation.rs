//! Steps of the handshake that many tests share.

use nbd_proto::Framing;
use nbd_proto::wire::{BASE_ALLOCATION, option, option_reply};

use crate::{Raw, Server};

/// The client flags of most clients: FIXED_NEWSTYLE and NO_ZEROES.
const MODERN: u32 = 3;

impl Raw {
    /// A connection after the hello, with the flags of most clients.
    #[must_use]
    pub fn negotiating(server: &Server) -> Self {
        let mut raw = server.connect();
        let _ = raw.hello(MODERN);
        raw
    }

    /// Sends an option, and receives all of its replies.
    pub fn ask(&mut self, number: u32, data: &[u8]) -> Vec<(u32, Vec<u8>)> {
        self.option(number, data);
        self.option_replies(number)
    }

    /// Sends an option that has exactly one reply; returns its type.
    pub fn ask_one(&mut self, number: u32, data: &[u8]) -> u32 {
        let replies = self.ask(number, data);
        assert_eq!(replies.len(), 1, "{replies:?}");
        replies[0].0
    }

    /// Negotiates a framing.
    pub fn agree(&mut self, framing: Framing) {
        let number = match framing {
            Framing::Simple => return,
            Framing::Structured => option::STRUCTURED_REPLY,
            Framing::Extended => option::EXTENDED_HEADERS,
        };
        assert_eq!(self.ask_one(number, &[]), option_reply::ACK);
    }

    /// Sends LIST_META_CONTEXT or SET_META_CONTEXT, and returns the ids and names of the contexts.
    pub fn contexts(&mut self, number: u32, name: &str, queries: &[&str]) -> Vec<(u32, String)> {
        let mut replies = self.ask(number, &Self::meta_data(name, queries));
        let last = replies.pop().unwrap();
        assert_eq!(last.0, option_reply::ACK, "{last:?}");
        let context = |(kind, data): (u32, Vec<u8>)| {
            assert_eq!(kind, option_reply::META_CONTEXT);
            let id = u32::from_be_bytes(data[..4].try_into().unwrap());
            (id, String::from_utf8(data[4..].to_vec()).unwrap())
        };
        replies.into_iter().map(context).collect()
    }

    /// Selects `base:allocation` for an export. Returns its id; `None` if the server doesn't offer it.
    pub fn select_allocation(&mut self, name: &str) -> Option<u32> {
        let selected = self.contexts(option::SET_META_CONTEXT, name, &[BASE_ALLOCATION]);
        selected.first().map(|(id, name)| {
            assert_eq!(name, BASE_ALLOCATION);
            *id
        })
    }

    /// Checks that the handshake goes on and both sides are in step: LIST works.
    pub fn assert_negotiating(&mut self) {
        let replies = self.ask(option::LIST, &[]);
        assert_eq!(replies.last().unwrap().0, option_reply::ACK, "{replies:?}");
    }
}
