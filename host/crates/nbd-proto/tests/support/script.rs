//! A shell around [`Handshake`] without I/O, which answers events by a script.
#![allow(dead_code, reason = "each test file uses a part of it")]

use nbd_proto::wire::option_reply;
use nbd_proto::{
    BlockSizes, Event, Export, ExportFlags, Handshake, Lookup, Policy, Session, TlsMode,
};

/// The export that the tests use unless they need another.
pub(crate) fn export(name: &str) -> Export {
    Export {
        name: name.to_owned(),
        description: Some("A disk".to_owned()),
        size: 1 << 30,
        flags: ExportFlags::SEND_FLUSH
            | ExportFlags::SEND_FUA
            | ExportFlags::SEND_TRIM
            | ExportFlags::SEND_WRITE_ZEROES
            | ExportFlags::SEND_FAST_ZERO
            | ExportFlags::SEND_CACHE
            | ExportFlags::CAN_MULTI_CONN,
        block: BlockSizes::default(),
        enforced: None,
        allocation: true,
    }
}

/// The server's end of a connection.
pub(crate) struct Server {
    pub(crate) handshake: Handshake,
    /// Bytes received and not consumed.
    pub(crate) input: Vec<u8>,
    /// Bytes sent and not taken by the test.
    pub(crate) output: Vec<u8>,
    /// All events except `NeedMore`.
    pub(crate) events: Vec<Event>,
    pub(crate) session: Option<Session>,
    pub(crate) closed: bool,
    /// Answers `Find`.
    pub(crate) find: fn(&mut Handshake, &Lookup),
}

/// Finds "disk" (also by the empty name), "big", whose blocks have 4096 bytes, and "flat", which has no
/// metadata context. Denies some other names.
pub(crate) fn find(handshake: &mut Handshake, lookup: &Lookup) {
    match lookup.name.as_str() {
        "" | "disk" => handshake.found(&export("disk")),
        "big" => {
            let block = BlockSizes::new(4096, 65_536, 1 << 20).unwrap();
            handshake.found(&Export {
                block,
                ..export("big")
            });
        }
        "flat" => handshake.found(&Export {
            allocation: false,
            ..export("flat")
        }),
        "secret" => handshake.tls_required(),
        "forbidden" => handshake.denied("not for you"),
        "late" => handshake.shutting_down(),
        _ => handshake.unknown(),
    }
}

impl Server {
    pub(crate) fn new(tls: TlsMode) -> Self {
        Self {
            handshake: Handshake::new(Policy {
                tls,
                ..Policy::default()
            }),
            input: Vec::new(),
            output: Vec::new(),
            events: Vec::new(),
            session: None,
            closed: false,
            find,
        }
    }

    /// A server after its hello and these client flags.
    pub(crate) fn greeted(tls: TlsMode, flags: u32) -> Self {
        let mut server = Self::new(tls);
        server.feed(&flags.to_be_bytes());
        assert_eq!(server.take().len(), 18, "the hello");
        server
    }

    /// Receives `bytes` and processes them until the handshake needs more, ends, or begins TLS.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        while self.session.is_none() && !self.closed {
            let (consumed, event) = self.handshake.advance(&self.input);
            assert!(consumed <= self.input.len(), "consumed more than there was");
            self.input.drain(..consumed);
            self.output.extend(self.handshake.take_output());
            if event != Event::NeedMore {
                self.events.push(event.clone());
            }
            match event {
                Event::NeedMore => return,
                Event::List => {
                    self.handshake
                        .list([("disk", Some("A disk")), ("big", None), ("no\0", None)]);
                }
                Event::Find(lookup) => (self.find)(&mut self.handshake, &lookup),
                Event::StartTls => return,
                Event::Ready(session) => self.session = Some(*session),
                Event::Close => self.closed = true,
            }
            self.output.extend(self.handshake.take_output());
        }
    }

    /// Sends the server an option, and returns its replies.
    pub(crate) fn ask(&mut self, number: u32, payload: &[u8]) -> Vec<(u32, Vec<u8>)> {
        self.feed(&option(number, payload));
        self.replies(number)
    }

    /// Sends the server an option, and returns the type of its only reply.
    pub(crate) fn ask_one(&mut self, number: u32, payload: &[u8]) -> u32 {
        let replies = self.ask(number, payload);
        assert_eq!(replies.len(), 1, "{replies:?}");
        replies[0].0
    }

    /// Takes the replies that the server sent, which must all be to this option.
    pub(crate) fn replies(&mut self, number: u32) -> Vec<(u32, Vec<u8>)> {
        let output = self.take();
        let mut rest = &output[..];
        let mut replies = Vec::new();
        while !rest.is_empty() {
            assert_eq!(rest[..8], 0x0003_e889_0455_65a9_u64.to_be_bytes());
            assert_eq!(be32(&rest[8..]), number, "reply to another option");
            let length = be32(&rest[16..]) as usize;
            replies.push((be32(&rest[12..]), rest[20..20 + length].to_vec()));
            rest = &rest[20 + length..];
        }
        for (kind, payload) in &replies {
            if kind & option_reply::ERROR != 0 {
                assert!(
                    payload.len() <= 4096 && !payload.contains(&0),
                    "not a string of the protocol"
                );
            }
        }
        replies
    }

    pub(crate) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }
}

pub(crate) fn be32(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes[..4].try_into().unwrap())
}

/// An option with its header.
pub(crate) fn option(number: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    nbd_proto::client::push_option(number, payload, &mut out);
    out
}

/// Bytes from hexadecimal digits. Ignores white space, and comments from `#` to the end of a line.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text
        .lines()
        .flat_map(|line| line.split('#').next().unwrap().chars())
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_digit(16).unwrap())
        .collect();
    digits
        .chunks(2)
        .map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap())
        .collect()
}
