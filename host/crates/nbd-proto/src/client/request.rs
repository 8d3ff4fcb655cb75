//! Requests, seen by a client.

use alloc::vec::Vec;

use thiserror::Error;

use crate::wire::{self, command};
use crate::{CommandFlags, ContextId, Cookie, Framing};

/// A request's header, exactly as it is sent: nothing stops a test from breaking a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// One of [`command`].
    pub kind: u16,
    /// Command flags.
    pub flags: CommandFlags,
    /// Distinct from those of all requests in flight.
    pub cookie: Cookie,
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
}

/// The length doesn't fit into a compact request's 32 bits; nothing was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a compact request can't be {0} bytes long")]
pub struct TooLong(pub u64);

impl Request {
    /// A request of any kind, without flags.
    #[must_use]
    pub const fn new(kind: u16, cookie: Cookie, offset: u64, length: u64) -> Self {
        Self {
            kind,
            flags: CommandFlags::empty(),
            cookie,
            offset,
            length,
        }
    }

    /// READ.
    #[must_use]
    pub fn read(cookie: Cookie, offset: u64, length: u32) -> Self {
        Self::new(command::READ, cookie, offset, u64::from(length))
    }

    /// WRITE; `length` bytes of data follow. In extended framing it has PAYLOAD_LEN.
    #[must_use]
    pub fn write(framing: Framing, cookie: Cookie, offset: u64, length: u32) -> Self {
        let request = Self::new(command::WRITE, cookie, offset, u64::from(length));
        if framing == Framing::Extended {
            request.with(CommandFlags::PAYLOAD_LEN)
        } else {
            request
        }
    }

    /// DISC.
    #[must_use]
    pub const fn disconnect(cookie: Cookie) -> Self {
        Self::new(command::DISC, cookie, 0, 0)
    }

    /// FLUSH.
    #[must_use]
    pub const fn flush(cookie: Cookie) -> Self {
        Self::new(command::FLUSH, cookie, 0, 0)
    }

    /// TRIM.
    #[must_use]
    pub const fn trim(cookie: Cookie, offset: u64, length: u64) -> Self {
        Self::new(command::TRIM, cookie, offset, length)
    }

    /// CACHE.
    #[must_use]
    pub const fn cache(cookie: Cookie, offset: u64, length: u64) -> Self {
        Self::new(command::CACHE, cookie, offset, length)
    }

    /// WRITE_ZEROES.
    #[must_use]
    pub const fn write_zeroes(cookie: Cookie, offset: u64, length: u64) -> Self {
        Self::new(command::WRITE_ZEROES, cookie, offset, length)
    }

    /// BLOCK_STATUS.
    #[must_use]
    pub const fn block_status(cookie: Cookie, offset: u64, length: u64) -> Self {
        Self::new(command::BLOCK_STATUS, cookie, offset, length)
    }

    /// The same with these flags too.
    #[must_use]
    pub fn with(mut self, flags: CommandFlags) -> Self {
        self.flags |= flags;
        self
    }

    /// Appends the header (section "Request message").
    ///
    /// # Errors
    /// [`TooLong`] if the framing can't say the length.
    pub fn encode(&self, framing: Framing, out: &mut Vec<u8>) -> Result<(), TooLong> {
        let extended = framing == Framing::Extended;
        let compact = u32::try_from(self.length);
        if !extended && compact.is_err() {
            return Err(TooLong(self.length));
        }
        let magic = if extended {
            wire::EXTENDED_REQUEST_MAGIC
        } else {
            wire::REQUEST_MAGIC
        };
        out.extend_from_slice(&magic.to_be_bytes());
        out.extend_from_slice(&self.flags.bits().to_be_bytes());
        out.extend_from_slice(&self.kind.to_be_bytes());
        out.extend_from_slice(&self.cookie.0.to_be_bytes());
        out.extend_from_slice(&self.offset.to_be_bytes());
        match compact {
            Ok(length) if !extended => out.extend_from_slice(&length.to_be_bytes()),
            _ => out.extend_from_slice(&self.length.to_be_bytes()),
        }
        Ok(())
    }
}

/// The payload of an extended BLOCK_STATUS with PAYLOAD_LEN: effect length and context ids. The
/// request's [`Request::length`] is then the payload's length.
#[must_use]
pub fn filter_payload(length: u64, contexts: &[ContextId]) -> Vec<u8> {
    let ids = contexts.iter().flat_map(|context| context.0.to_be_bytes());
    length.to_be_bytes().into_iter().chain(ids).collect()
}
