//! Requests of the transmission phase: bytes to a [`Command`] that can be trusted.
//!
//! Everything that can be wrong with a request is found here, once, and nowhere else: magic, unknown
//! commands and flags, commands that weren't advertised, ranges, alignment, sizes, read-only. What
//! gets through needs no check again.

mod rules;

use bitflags::bitflags;
use thiserror::Error;

use self::rules::CONTEXT_ID;
use crate::bytes::Reader;
use crate::wire::{self, command};
use crate::{CommandFlags, Cookie, Errno, ExportFlags, Framing, Session, limits};

/// What the bytes at the front of the receive buffer are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// Not a whole header yet: nothing is used, read more and ask again. 44 bytes are always enough.
    Incomplete,
    /// The stream can't be followed any more: close the connection.
    Broken(Broken),
    /// A request.
    Request(Incoming),
}

/// Why a connection can't go on: a client's breach that can't be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Broken {
    /// The request doesn't begin with the magic of the agreed framing, so nobody knows where the
    /// next one begins.
    #[error("request with the wrong magic {0:#010x}")]
    Magic(u32),
    /// The payload, in bytes, is longer than [`limits::MAX_PAYLOAD`]: not worth draining.
    #[error("request with a payload of {0} bytes")]
    Payload(u64),
}

/// A request whose header was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// What the replies need.
    pub head: Head,
    /// Bytes of input that make up the header, and are used: 28, 32, or 44 for a block status
    /// request with a payload of context ids, which is read with its header.
    pub header_len: usize,
    /// Bytes after the header that belong to this request too: 0 to [`limits::MAX_PAYLOAD`]. The
    /// data of a [`Command::Write`]; after any other command they are to be dropped.
    pub payload_len: u32,
    /// What to do.
    pub command: Command,
}

/// What a reply needs to know of its request. Copied into whatever waits for the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The form of the reply.
    pub framing: Framing,
    /// Section "Transmission": "the server MUST use the same value for cookie as was sent by the
    /// client".
    pub cookie: Cookie,
    /// The request's offset field as it was sent: an extended reply repeats it.
    pub offset: u64,
}

bitflags! {
    /// How a change is to be made: what the flags of a command mean to the device that carries it out.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct WriteFlags: u16 {
        /// Durable before the reply.
        const FUA = CommandFlags::FUA.bits();
        /// Zeroing only: keep it allocated.
        const NO_HOLE = CommandFlags::NO_HOLE.bits();
        /// Zeroing only: fail with ENOTSUP, quickly and without a change, rather than be slow.
        const FAST_ZERO = CommandFlags::FAST_ZERO.bits();
    }
}

/// A request that was checked: its range lies within the export and is aligned to the minimum block
/// size, its flags were advertised, and it isn't empty.
///
/// Offsets and lengths are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Send data. Length 1 to the maximum block size.
    Read {
        /// First byte.
        offset: u64,
        /// Bytes.
        length: u32,
        /// One content chunk, zeroes explicit.
        dont_fragment: bool,
    },
    /// Store the payload that follows, of the same length. Length 1 to the maximum block size.
    Write {
        /// First byte.
        offset: u64,
        /// Bytes; the same as [`Incoming::payload_len`].
        length: u32,
        /// FUA or nothing.
        flags: WriteFlags,
    },
    /// Make durable what was written and answered before.
    Flush,
    /// The data isn't needed any more.
    Trim {
        /// First byte.
        offset: u64,
        /// Bytes.
        length: u64,
        /// FUA or nothing.
        flags: WriteFlags,
    },
    /// Prefetch.
    Cache {
        /// First byte.
        offset: u64,
        /// Bytes.
        length: u64,
    },
    /// Make it read as zeroes.
    WriteZeroes {
        /// First byte.
        offset: u64,
        /// Bytes.
        length: u64,
        /// Any of them.
        flags: WriteFlags,
    },
    /// Describe allocation. Only where [`Session::allocation`] is something.
    BlockStatus {
        /// First byte.
        offset: u64,
        /// Bytes.
        length: u64,
        /// One descriptor, no longer than the request.
        one: bool,
    },
    /// A read, write, trim, prefetch or zeroing of no bytes: answer [`ok`](crate::reply::ok), in
    /// every framing, and do nothing. ("the behavior of a server on such a request is unspecified
    /// although the server SHOULD NOT disconnect")
    Nothing,
    /// Finish what is in flight, send no reply to this, close.
    Disconnect,
    /// Drop the payload and answer this error.
    Refused(Refusal),
}

/// Why a request is answered with an error without being tried: the client's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{errno}: {text}")]
pub struct Refusal {
    /// The error for the client.
    pub errno: Errno,
    /// The text for the client, where the framing can carry one.
    pub text: &'static str,
}

impl Session {
    /// Parses the request at the front of `input`. Allocates nothing.
    ///
    /// Never looks past the header (28, 32 or 44 bytes), so `input` may hold the payload and further
    /// requests, or not yet. The shell drops [`Incoming::header_len`] bytes, then deals with
    /// [`Incoming::payload_len`] more, then asks again.
    #[must_use]
    #[inline]
    pub fn parse(&self, input: &[u8]) -> Parsed {
        let (raw, mut rest) = match Raw::read(self.framing(), input) {
            Ok(Some(found)) => found,
            Ok(None) => return Parsed::Incomplete,
            Err(broken) => return Parsed::Broken(broken),
        };
        // "A server SHOULD initiate hard disconnect if a client sets the NBD_CMD_FLAG_PAYLOAD_LEN
        // flag and uses a length larger than a server's advertised or default maximum payload
        // length"; the same for a compact WRITE, which this crate would otherwise have to drain.
        let announced = raw.payload_len(self.framing());
        let payload_len = match u32::try_from(announced) {
            Ok(len) if len <= limits::MAX_PAYLOAD => len,
            _ => return Parsed::Broken(Broken::Payload(announced)),
        };
        let head = Head {
            framing: self.framing(),
            cookie: raw.cookie,
            offset: raw.offset,
        };
        if self.is_filter(&raw) {
            return self.filtered(head, &raw, &mut rest);
        }
        let command = self.check(&raw).unwrap_or_else(Command::Refused);
        Parsed::Request(Incoming {
            head,
            header_len: raw.header_len,
            payload_len,
            command,
        })
    }

    /// Whether this is a block status request followed by one context id, and that was advertised.
    /// With any other payload it is refused like every command that takes none.
    fn is_filter(&self, raw: &Raw) -> bool {
        raw.kind == command::BLOCK_STATUS
            && self.has(ExportFlags::BLOCK_STATUS_PAYLOAD)
            && raw.flags & CommandFlags::PAYLOAD_LEN.bits() != 0
            && raw.length == wire::FILTER_LEN as u64
    }

    /// Section `NBD_CMD_BLOCK_STATUS`, extended headers: a payload of effect length and context
    /// ids. One context exists, so one id is all that can be right.
    #[cold]
    fn filtered(&self, head: Head, raw: &Raw, rest: &mut Reader<'_>) -> Parsed {
        let (Some(length), Some(id)) = (rest.u64(), rest.u32()) else {
            return Parsed::Incomplete;
        };
        let plain = Raw {
            flags: raw.flags & !CommandFlags::PAYLOAD_LEN.bits(),
            length,
            ..*raw
        };
        let known = self.allocation().is_some_and(|context| context.0 == id);
        let checked = if known {
            self.check(&plain)
        } else {
            Err(CONTEXT_ID)
        };
        Parsed::Request(Incoming {
            head,
            header_len: raw.header_len + wire::FILTER_LEN,
            payload_len: 0,
            command: checked.unwrap_or_else(Command::Refused),
        })
    }
}

impl Errno {
    /// This error, or EINVAL where it may not be the answer to `command`.
    ///
    /// "The server SHOULD NOT return NBD_EOVERFLOW except as documented in response to NBD_CMD_READ
    /// when NBD_CMD_FLAG_DF is supported", nor "NBD_ENOTSUP except as documented in response to
    /// NBD_CMD_WRITE_ZEROES when NBD_CMD_FLAG_FAST_ZERO is supported" (section "Error values");
    /// without FAST_ZERO "the server MUST NOT fail with NBD_ENOTSUP".
    #[must_use]
    pub const fn permitted_for(self, command: &Command) -> Self {
        match (self, command) {
            (Self::Enotsup, Command::WriteZeroes { flags, .. })
                if flags.contains(WriteFlags::FAST_ZERO) =>
            {
                self
            }
            (
                Self::Eoverflow,
                Command::Read {
                    dont_fragment: true,
                    ..
                },
            ) => self,
            (Self::Enotsup | Self::Eoverflow, _) => Self::Einval,
            _ => self,
        }
    }
}

/// The fields of a request's header, not yet believed.
#[derive(Clone, Copy)]
struct Raw {
    flags: u16,
    kind: u16,
    cookie: Cookie,
    offset: u64,
    length: u64,
    header_len: usize,
}

impl Raw {
    /// Section "Request message". `None`: too few bytes. Also gives what follows the header.
    #[inline]
    fn read(framing: Framing, input: &[u8]) -> Result<Option<(Self, Reader<'_>)>, Broken> {
        let mut reader = Reader::new(input);
        let Some(magic) = reader.u32() else {
            return Ok(None);
        };
        let (expected, header_len) = match framing {
            Framing::Simple | Framing::Structured => (wire::REQUEST_MAGIC, wire::REQUEST_LEN),
            Framing::Extended => (wire::EXTENDED_REQUEST_MAGIC, wire::EXTENDED_REQUEST_LEN),
        };
        if magic != expected {
            return Err(Broken::Magic(magic));
        }
        let fields = |reader: &mut Reader<'_>| {
            Some(Self {
                flags: reader.u16()?,
                kind: reader.u16()?,
                cookie: Cookie(reader.u64()?),
                offset: reader.u64()?,
                length: match framing {
                    Framing::Extended => reader.u64()?,
                    Framing::Simple | Framing::Structured => u64::from(reader.u32()?),
                },
                header_len,
            })
        };
        Ok(fields(&mut reader).map(|raw| (raw, reader)))
    }

    /// Bytes that follow the header. Compact: "the only command where length represents payload
    /// length instead of effect length is NBD_CMD_WRITE". Extended: "length bytes of data if flags
    /// includes NBD_CMD_FLAG_PAYLOAD_LEN", and for a WRITE without it too: QEMU up to 10.0 at least
    /// leaves it out, though it "MUST be set for NBD_CMD_WRITE", and sends the data all the same.
    fn payload_len(&self, framing: Framing) -> u64 {
        let has_payload = match framing {
            Framing::Simple | Framing::Structured => self.kind == command::WRITE,
            Framing::Extended => {
                self.kind == command::WRITE || self.flags & CommandFlags::PAYLOAD_LEN.bits() != 0
            }
        };
        if has_payload { self.length } else { 0 }
    }
}
