//! Encodes a client's requests.

use alloc::vec::Vec;

use thiserror::Error;

use crate::wire::{self, command};
use crate::{CommandFlags, ContextId, Cookie, Framing};

/// A request's header. The client sends it as it is: no field is checked, so a test can break any rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// One of [`command`].
    pub kind: u16,
    /// Command flags.
    pub flags: CommandFlags,
    /// The request's cookie, which no other request in flight may have.
    pub cookie: Cookie,
    /// Offset of the first byte.
    pub offset: u64,
    /// Length in bytes.
    pub length: u64,
}

/// The length, in bytes, doesn't fit into the 32 bits of a compact request. The buffer is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a request of {0} bytes needs extended headers")]
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

    /// A READ.
    #[must_use]
    pub fn read(cookie: Cookie, offset: u64, length: u32) -> Self {
        Self::new(command::READ, cookie, offset, u64::from(length))
    }

    /// A WRITE, after which the client sends `length` bytes of data. In extended framing it has PAYLOAD_LEN.
    #[must_use]
    pub fn write(framing: Framing, cookie: Cookie, offset: u64, length: u32) -> Self {
        let request = Self::new(command::WRITE, cookie, offset, u64::from(length));
        //= proto.md#request-message
        //# In the compact style, the client MUST NOT use the `NBD_CMD_FLAG_PAYLOAD_LEN` flag
        if framing == Framing::Extended {
            //= proto.md#request-message
            //# The command `NBD_CMD_WRITE` MUST use the flag `NBD_CMD_FLAG_PAYLOAD_LEN` in this mode
            //= proto.md#command-flags
            //# the flag MUST be set for `NBD_CMD_WRITE`
            request.with(CommandFlags::PAYLOAD_LEN)
        } else {
            request
        }
    }

    /// A DISC.
    #[must_use]
    pub const fn disconnect(cookie: Cookie) -> Self {
        //= proto.md#request-types
        //# The values of the length and offset fields in a disconnect request MUST be zero.
        Self::new(command::DISC, cookie, 0, 0)
    }

    /// A FLUSH.
    #[must_use]
    pub const fn flush(cookie: Cookie) -> Self {
        //= proto.md#request-types
        //# For a flush request, *length* and *offset* are reserved, and MUST be set to all-zero.
        Self::new(command::FLUSH, cookie, 0, 0)
    }

    /// A TRIM.
    #[must_use]
    pub const fn trim(cookie: Cookie, offset: u64, length: u64) -> Self {
        Self::new(command::TRIM, cookie, offset, length)
    }

    /// A CACHE.
    #[must_use]
    pub const fn cache(cookie: Cookie, offset: u64, length: u64) -> Self {
        Self::new(command::CACHE, cookie, offset, length)
    }

    /// A WRITE_ZEROES.
    #[must_use]
    pub const fn write_zeroes(cookie: Cookie, offset: u64, length: u64) -> Self {
        Self::new(command::WRITE_ZEROES, cookie, offset, length)
    }

    /// A BLOCK_STATUS.
    #[must_use]
    pub const fn block_status(cookie: Cookie, offset: u64, length: u64) -> Self {
        Self::new(command::BLOCK_STATUS, cookie, offset, length)
    }

    /// The same request with these flags in addition.
    #[must_use]
    pub fn with(mut self, flags: CommandFlags) -> Self {
        self.flags |= flags;
        self
    }

    /// Appends the header (section "Request message").
    ///
    /// # Errors
    /// [`TooLong`] if the framing has 32 bits for the length and it needs more.
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

/// The payload of an extended BLOCK_STATUS with PAYLOAD_LEN: the effect length in bytes, and context ids.
/// The request's [`Request::length`] must be the payload's length.
#[must_use]
pub fn filter_payload(length: u64, contexts: &[ContextId]) -> Vec<u8> {
    let ids = contexts.iter().flat_map(|context| context.0.to_be_bytes());
    //= proto.md#request-types
    //# The payload form MUST occupy 8 + n*4 bytes, where n is the number of metacontext ids the client is
    //# interested in
    length.to_be_bytes().into_iter().chain(ids).collect()
}
