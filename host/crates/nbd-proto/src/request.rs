//! Requests of the transmission phase: bytes to a [`Command`] that can be trusted.
//!
//! Everything that can be wrong with a request is found here, once, and nowhere else: magic, unknown
//! commands and flags, commands that weren't advertised, ranges, alignment, sizes, read-only. What
//! gets through needs no check again.

use thiserror::Error;

use crate::bytes::Reader;
use crate::wire::{self, command};
use crate::{BlockSizes, CommandFlags, Cookie, Errno, ExportFlags, Framing, Session, limits};

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
    /// "the server MUST use the same value for [cookie] as was sent by the client".
    pub cookie: Cookie,
    /// The request's offset field as it was sent: an extended reply repeats it.
    pub offset: u64,
}

/// A request that was checked: its range lies within the export and is aligned to the minimum block
/// size, its flags were advertised, and it isn't empty.
///
/// Offsets and lengths are in bytes. `fua`: durable before the reply.
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
        /// Durable before the reply.
        fua: bool,
    },
    /// Make durable what was written and answered before.
    Flush,
    /// The data isn't needed any more.
    Trim {
        /// First byte.
        offset: u64,
        /// Bytes.
        length: u64,
        /// Durable before the reply.
        fua: bool,
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
        /// Durable before the reply.
        fua: bool,
        /// Keep it allocated.
        no_hole: bool,
        /// Fail with ENOTSUP, quickly and without a change, rather than be slow.
        fast_zero: bool,
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
    #[must_use]
    pub fn parse(&self, input: &[u8]) -> Parsed {
        let _ = input;
        todo!()
    }
}

impl Errno {
    /// This error, or the nearest one that may be the answer to `command`: EOVERFLOW is only for a
    /// READ with DF, ENOTSUP only for a WRITE_ZEROES with FAST_ZERO (section "Error values").
    #[must_use]
    pub const fn permitted_for(self, command: &Command) -> Self {
        let _ = command;
        todo!()
    }
}
