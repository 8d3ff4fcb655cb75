//! A client that keeps to the protocol in any framing, and checks that the server does.

use std::collections::HashMap;

use nbd_proto::Framing;
use nbd_proto::wire::{self, CommandFlags, ExportFlags, chunk, command};

use crate::{Answer, Chunk, Raw, Server, Transmission};

/// All framings, for tests of what must hold in each.
pub const FRAMINGS: [Framing; 3] = [Framing::Simple, Framing::Structured, Framing::Extended];

/// A connection in the transmission phase. It knows what was agreed on, and which requests it has sent.
#[derive(Debug)]
pub struct Dialog {
    /// The connection itself, for bytes that a client mustn't send.
    pub transmission: Transmission,
    /// The id of `base:allocation`, if it was selected.
    pub context: Option<u32>,
    framing: Framing,
    next_cookie: u64,
    asked: HashMap<u64, Asked>,
    /// The chunks of replies that aren't complete.
    begun: HashMap<u64, Vec<Chunk>>,
}

/// A request without a complete reply.
#[derive(Clone, Copy, Debug)]
struct Asked {
    command: u16,
    offset: u64,
    length: u64,
}

impl Dialog {
    /// Opens the default export. In a framing with chunks, selects `base:allocation` if it's offered.
    #[must_use]
    pub fn open(server: &Server, framing: Framing) -> Self {
        Self::over(Raw::negotiating(server), framing)
    }

    /// As [`open`](Self::open), over a connection on which nothing is agreed yet.
    #[must_use]
    pub fn over(raw: Raw, framing: Framing) -> Self {
        Self::with_export(raw, framing, "", &[])
    }

    /// As [`over`](Self::over), for another export and with requests for information about it.
    #[must_use]
    pub fn with_export(mut raw: Raw, framing: Framing, export: &str, infos: &[u16]) -> Self {
        raw.agree(framing);
        let context = framing
            .has_chunks()
            .then(|| raw.select_allocation(export))
            .flatten();
        Self::begun(raw, framing, context, export, infos)
    }

    /// Opens the default export without a metadata context.
    #[must_use]
    pub fn without_context(server: &Server, framing: Framing) -> Self {
        let mut raw = Raw::negotiating(server);
        raw.agree(framing);
        Self::begun(raw, framing, None, "", &[])
    }

    fn begun(
        raw: Raw,
        framing: Framing,
        context: Option<u32>,
        export: &str,
        infos: &[u16],
    ) -> Self {
        Self {
            transmission: raw.go_asking(export, infos),
            context,
            framing,
            next_cookie: 0x1122_3344_5566_7788,
            asked: HashMap::new(),
            begun: HashMap::new(),
        }
    }

    /// Whether the export has these flags.
    #[must_use]
    pub fn has(&self, flags: ExportFlags) -> bool {
        ExportFlags::from_bits_truncate(self.transmission.flags).contains(flags)
    }

    /// Sends a request without a payload; returns its cookie.
    pub fn send(&mut self, flags: u16, command: u16, offset: u64, length: u64) -> u64 {
        let cookie = self.next_cookie;
        self.next_cookie += 1;
        let asked = Asked {
            command,
            offset,
            length,
        };
        self.asked.insert(cookie, asked);
        if self.framing == Framing::Extended {
            self.transmission
                .extended_request(flags, command, cookie, offset, length);
        } else {
            let length = u32::try_from(length).unwrap();
            self.transmission
                .request(flags, command, cookie, offset, length);
        }
        cookie
    }

    /// Sends a request with its payload, as the framing wants it; returns its cookie.
    pub fn send_write(&mut self, flags: u16, offset: u64, data: &[u8]) -> u64 {
        let payload = match self.framing {
            Framing::Extended => CommandFlags::PAYLOAD_LEN.bits(),
            Framing::Simple | Framing::Structured => 0,
        };
        let cookie = self.send(flags | payload, command::WRITE, offset, data.len() as u64);
        self.transmission.raw.send(data);
        cookie
    }

    /// Receives the next complete reply, whichever request it's for.
    ///
    /// # Panics
    /// The reply breaks a rule of its framing, or no request matches it.
    #[must_use]
    pub fn receive(&mut self) -> Answer {
        if self.framing == Framing::Simple {
            return self.receive_simple();
        }
        loop {
            let (cookie, part) = self.receive_chunk();
            let asked = *self
                .asked
                .get(&cookie)
                .expect("a chunk that nobody asked for");
            if let Some(offset) = part.offset {
                assert_eq!(offset, asked.offset, "the offset in an extended header");
            }
            let done = part.flags & chunk::FLAG_DONE != 0;
            let parts = self.begun.entry(cookie).or_default();
            parts.push(part);
            if done {
                self.asked.remove(&cookie);
                let parts = self.begun.remove(&cookie).unwrap();
                let reads = asked.command == command::READ;
                let range = (asked.offset, if reads { asked.length } else { 0 });
                return Answer::of_chunks(cookie, parts, range, reads);
            }
        }
    }

    /// Sends a request without a payload, and receives its reply.
    pub fn ask(&mut self, flags: u16, command: u16, offset: u64, length: u64) -> Answer {
        let cookie = self.send(flags, command, offset, length);
        let answer = self.receive();
        assert_eq!(answer.cookie, cookie, "the reply to another request");
        answer
    }

    /// Sends a write, and returns the error of its reply; 0 is success.
    pub fn write(&mut self, flags: u16, offset: u64, data: &[u8]) -> u32 {
        let cookie = self.send_write(flags, offset, data);
        let answer = self.receive();
        assert_eq!(answer.cookie, cookie, "the reply to another request");
        answer.error
    }

    /// Reads bytes that must be readable.
    ///
    /// # Panics
    /// The read fails.
    #[must_use]
    pub fn read(&mut self, offset: u64, length: u32) -> Vec<u8> {
        let answer = self.ask(0, command::READ, offset, length.into());
        assert_eq!(
            answer.error, 0,
            "a read of {length} bytes at {offset}: {}",
            answer.text
        );
        answer.data
    }

    /// Checks that both sides are in step: the server answers a small read at the export's start.
    pub fn assert_in_step(&mut self) {
        assert_eq!(self.read(0, 16).len(), 16);
    }

    /// Disconnects, and checks that the server sends nothing more.
    pub fn disconnect(mut self) {
        self.send(0, command::DISC, 0, 0);
        assert!(self.transmission.raw.is_closed(), "a reply to DISC");
    }

    fn receive_simple(&mut self) -> Answer {
        let (error, cookie) = self.transmission.simple_reply();
        let asked = self
            .asked
            .remove(&cookie)
            .expect("a reply that nobody asked for");
        let data = if asked.command == command::READ && error == 0 {
            self.transmission
                .raw
                .receive(usize::try_from(asked.length).unwrap())
        } else {
            Vec::new()
        };
        Answer::simple(cookie, error, data)
    }

    fn receive_chunk(&mut self) -> (u64, Chunk) {
        if self.framing == Framing::Extended {
            let (flags, kind, cookie, offset, payload) = self.transmission.extended_chunk();
            return (
                cookie,
                Chunk {
                    flags,
                    kind,
                    offset: Some(offset),
                    payload,
                },
            );
        }
        let (flags, kind, cookie, payload) = self.transmission.chunk();
        (
            cookie,
            Chunk {
                flags,
                kind,
                offset: None,
                payload,
            },
        )
    }
}

impl Server {
    /// Checks over a new connection that the server works and that its bytes are right.
    ///
    /// A read-only export must be one of the plugin `pattern`. In any other, the check writes the last 16 bytes.
    ///
    /// # Panics
    /// The server doesn't work, or a byte is wrong.
    pub fn assert_serves(&self) {
        let mut dialog = Dialog::open(self, Framing::Structured);
        if dialog.has(ExportFlags::READ_ONLY) {
            let words = [8u64, 16].map(u64::to_be_bytes);
            assert_eq!(dialog.read(8, 16), words.concat());
        } else {
            let last = dialog.transmission.size - 16;
            assert_eq!(dialog.write(0, last, b"still in service"), 0);
            assert_eq!(dialog.read(last, 16), b"still in service");
        }
        dialog.disconnect();
    }
}

/// The magic of requests in another framing.
#[must_use]
pub const fn foreign_magic(framing: Framing) -> u32 {
    match framing {
        Framing::Extended => wire::REQUEST_MAGIC,
        Framing::Simple | Framing::Structured => wire::EXTENDED_REQUEST_MAGIC,
    }
}

/// A magic, and bytes that look like a request: a payload that the server mustn't take for one.
pub const DISGUISED: [u8; 32] =
    *b"\x25\x60\x95\x13\0\0\0\x02cookie!!\0\0\0\0\0\0\0\0\0\0\0\0\x21\xe4\x1c\x71";

/// Sends (flags, command, offset, length) in every framing. Each reply must have this error, and the connection must
/// stay usable.
pub fn assert_error(server: &Server, requests: &[(u16, u16, u64, u64)], error: u32) {
    for framing in FRAMINGS {
        let mut dialog = Dialog::open(server, framing);
        for &(flags, command, offset, length) in requests {
            let answer = dialog.ask(flags, command, offset, length);
            let request = (flags, command, offset, length);
            assert_eq!(
                answer.error, error,
                "{framing:?} {request:?} {}",
                answer.text
            );
        }
        dialog.assert_in_step();
    }
}
