//! Parses a request of the transmission phase into a [`Command`] that needs no further check.
//!
//! Only this module checks requests: their magic, unknown commands and flags, commands that the server
//! didn't advertise, ranges, alignment, sizes, read-only.

mod rules;

use bitflags::bitflags;
use thiserror::Error;

use self::rules::CONTEXT_ID;
use crate::bytes::Reader;
use crate::wire::{self, command};
use crate::{CommandFlags, Cookie, Errno, ExportFlags, Framing, Session, limits};

/// What is at the front of the receive buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// Not a whole header yet. Nothing is consumed: read more and parse again. 44 bytes are always
    /// enough.
    Incomplete,
    /// The server can't find the next request: close the connection.
    Broken(Broken),
    /// A request.
    Request(Incoming),
}

/// Why the server must close a connection: a mistake of the client to which it can't reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Broken {
    /// The request doesn't begin with the magic of the agreed framing, so the server can't know where
    /// the next one begins.
    #[error("the client sent a request with the wrong magic {0:#010x}")]
    Magic(u32),
    /// The payload, in bytes, is longer than [`limits::MAX_PAYLOAD`]: too long to drain.
    #[error("the client sent a request with a payload of {0} bytes, more than 32 MiB")]
    Payload(u64),
}

/// A request whose header was parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// The fields that a reply needs.
    pub head: Head,
    /// Bytes of the header, which the shell drops: 28, 32, or 44 for a block status request with a
    /// payload of context ids, which is parsed with its header.
    pub header_len: usize,
    /// Bytes after the header that belong to this request too: 0 to [`limits::MAX_PAYLOAD`]. They are
    /// the data of a [`Command::Write`]. After any other command the shell drops them.
    pub payload_len: u32,
    /// What the server must do.
    pub command: Command,
}

/// The fields of a request that its reply needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The form of the reply.
    pub framing: Framing,
    /// Section "Transmission": "the server MUST use the same value for cookie as was sent by the
    /// client".
    pub cookie: Cookie,
    /// The request's offset field as the client sent it. An extended reply repeats it.
    pub offset: u64,
}

bitflags! {
    /// How a device must make a change: those flags of a command that concern devices.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct WriteFlags: u16 {
        /// The change is durable before the reply.
        const FUA = CommandFlags::FUA.bits();
        /// Zeroing only: the range stays allocated.
        const NO_HOLE = CommandFlags::NO_HOLE.bits();
        /// Zeroing only: fails with ENOTSUP, quickly and without a change, if it would be as slow as a write.
        const FAST_ZERO = CommandFlags::FAST_ZERO.bits();
    }
}

/// A checked request: its range lies within the export and is aligned to the minimum block size, the
/// server advertised its flags, and it isn't empty.
///
/// Offsets and lengths are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Send data.
    Read {
        /// Offset of the first byte.
        offset: u64,
        /// 1 to the maximum block size.
        length: u32,
        /// The reply has one content chunk, zeroes included.
        dont_fragment: bool,
    },
    /// Store the payload, which follows the header.
    Write {
        /// Offset of the first byte.
        offset: u64,
        /// 1 to the maximum block size; the same as [`Incoming::payload_len`].
        length: u32,
        /// FUA or none.
        flags: WriteFlags,
    },
    /// Make durable all changes that the server answered before.
    Flush,
    /// Give up data that the client no longer needs.
    Trim {
        /// Offset of the first byte.
        offset: u64,
        /// At least 1.
        length: u64,
        /// FUA or none.
        flags: WriteFlags,
    },
    /// Prefetch data.
    Cache {
        /// Offset of the first byte.
        offset: u64,
        /// At least 1.
        length: u64,
    },
    /// Make a range read as zeroes.
    WriteZeroes {
        /// Offset of the first byte.
        offset: u64,
        /// At least 1.
        length: u64,
        /// Any flags that the server advertised.
        flags: WriteFlags,
    },
    /// Describe allocation. Only if [`Session::allocation`] has an id.
    BlockStatus {
        /// Offset of the first byte.
        offset: u64,
        /// At least 1.
        length: u64,
        /// The reply has one descriptor, no longer than the request (REQ_ONE).
        one: bool,
    },
    /// A read, write, trim, prefetch or zeroing of no bytes: do nothing and answer
    /// [`ok`](crate::reply::ok), in every framing. ("the behavior of a server on such a request is
    /// unspecified although the server SHOULD NOT disconnect")
    Nothing,
    /// Finish the requests in flight, send no reply to this one, close.
    Disconnect,
    /// Drop the payload and answer with this error.
    Refused(Refusal),
}

/// The error that answers a request which the server doesn't try, because the client made a mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{errno}: {text}")]
pub struct Refusal {
    /// The error for the client.
    pub errno: Errno,
    /// The explanation for the client, which simple replies can't carry.
    pub text: &'static str,
}

impl Session {
    /// Parses the request at the front of `input`. Allocates nothing.
    ///
    /// It reads no further than the header (28, 32 or 44 bytes), so `input` may already hold the
    /// payload and further requests. The shell drops [`Incoming::header_len`] bytes, uses or drops
    /// [`Incoming::payload_len`] more, and parses the next request.
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
        // length". The same goes for a compact WRITE, whose payload the server would have to drain.
        let announced = raw.payload_len(self.framing());
        let payload_len = match u32::try_from(announced) {
            //= proto.md#request-message
            //# a server SHOULD gracefully consume *length* bytes of payload
            Ok(len) if len <= limits::MAX_PAYLOAD => len,
            //= proto.md#request-message
            //# A server SHOULD initiate hard disconnect if a client sets the `NBD_CMD_FLAG_PAYLOAD_LEN` flag
            //# and uses a *length* larger than a server's advertised or default maximum payload length
            _ => return Parsed::Broken(Broken::Payload(announced)),
        };
        let head = Head {
            framing: self.framing(),
            //= proto.md#transmission
            //# In each reply message (whether simple or structured), the server MUST use the same value for
            //# cookie as was sent by the client in the corresponding request, treating the cookie as an opaque
            //# field.
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

    /// Whether this is a block status request with a payload of one context id, and the server
    /// advertised that. Any other payload is an error, as for the commands that take none.
    fn is_filter(&self, raw: &Raw) -> bool {
        //= proto.md#transmission-flags
        //# clients SHOULD NOT set the `NBD_CMD_FLAG_PAYLOAD_LEN` flag for `NBD_CMD_BLOCK_STATUS` unless this
        //# transmission flag is set.
        //= proto.md#request-types
        //# the server MUST gracefully consume the client's payload before failing with `NBD_EINVAL`.
        raw.kind == command::BLOCK_STATUS
            && self.has(ExportFlags::BLOCK_STATUS_PAYLOAD)
            && raw.flags & CommandFlags::PAYLOAD_LEN.bits() != 0
            && raw.length == wire::FILTER_LEN as u64
    }

    /// Section `NBD_CMD_BLOCK_STATUS`, extended headers: a payload of effect length and context
    /// ids. Only one context exists, so a valid payload has one id.
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
        //= proto.md#request-types
        //# If the server does not support the payload form, or detects duplicate or unknown metacontext ids in
        //# the client's payload, the server MUST gracefully consume the client's payload before failing with
        //# `NBD_EINVAL`.
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
    /// This error, or EINVAL if the protocol forbids it as the answer to `command`.
    ///
    /// "The server SHOULD NOT return NBD_EOVERFLOW except as documented in response to NBD_CMD_READ
    /// when NBD_CMD_FLAG_DF is supported", nor "NBD_ENOTSUP except as documented in response to
    /// NBD_CMD_WRITE_ZEROES when NBD_CMD_FLAG_FAST_ZERO is supported" (section "Error values");
    /// without FAST_ZERO "the server MUST NOT fail with NBD_ENOTSUP".
    #[must_use]
    pub const fn permitted_for(self, command: &Command) -> Self {
        match (self, command) {
            //= proto.md#error-values
            //# The server SHOULD NOT return `NBD_ENOTSUP` except as documented in response to
            //# `NBD_CMD_WRITE_ZEROES` when `NBD_CMD_FLAG_FAST_ZERO` is supported.
            (Self::Enotsup, Command::WriteZeroes { flags, .. })
                if flags.contains(WriteFlags::FAST_ZERO) =>
            {
                self
            }
            (
                //= proto.md#command-flags
                //# Use of this flag MAY trigger an `NBD_EOVERFLOW` error chunk, if the request length is too
                //# large.
                Self::Eoverflow,
                Command::Read {
                    dont_fragment: true,
                    ..
                },
            ) => self,
            //= proto.md#request-types
            //# the server MUST NOT fail with `NBD_ENOTSUP`
            //= proto.md#request-types
            //# SHOULD NOT fail with `NBD_EOVERFLOW` regardless of the client length
            //= proto.md#error-values
            //# The server SHOULD NOT return `NBD_EOVERFLOW` except as documented in response to `NBD_CMD_READ`
            //# when `NBD_CMD_FLAG_DF` is supported
            (Self::Enotsup | Self::Eoverflow, _) => Self::Einval,
            _ => self,
        }
    }
}

/// The fields of a request's header before the checks.
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
    /// Reads a header (section "Request message"), and returns a reader of the bytes after it; `None` if
    /// `input` has too few bytes.
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
            //= proto.md#option-types
            //# the client MUST use the 32-byte extended request header
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

    /// Bytes of payload after the header. Compact: "the only command where length represents payload
    /// length instead of effect length is NBD_CMD_WRITE". Extended: "length bytes of data if flags
    /// includes NBD_CMD_FLAG_PAYLOAD_LEN". An extended WRITE has a payload even without that flag: the
    /// flag "MUST be set for NBD_CMD_WRITE", but QEMU, at least up to 10.0, sends the data without it.
    fn payload_len(&self, framing: Framing) -> u64 {
        let has_payload = match framing {
            Framing::Simple | Framing::Structured => self.kind == command::WRITE,
            Framing::Extended => {
                //= proto.md#request-message
                //# The command `NBD_CMD_WRITE` MUST use the flag `NBD_CMD_FLAG_PAYLOAD_LEN` in this mode
                self.kind == command::WRITE || self.flags & CommandFlags::PAYLOAD_LEN.bits() != 0
            }
        };
        if has_payload { self.length } else { 0 }
    }
}
