//! Encodes a client's options, and parses the server's hello and option replies.

use alloc::vec::Vec;

use super::ClientError;
use crate::bytes::Reader;
use crate::limits;
use crate::wire::{self, HandshakeFlags};

/// Parses the server's hello of [`wire::HELLO_LEN`] bytes; `None` if `input` has only a part of it. "The
/// client SHOULD ignore any handshake flags it does not recognize."
///
/// # Errors
/// [`ClientError::Protocol`] if the peer isn't a newstyle NBD server.
pub fn hello(input: &[u8]) -> Result<Option<HandshakeFlags>, ClientError> {
    let mut reader = Reader::new(input);
    let Some(magic) = reader.u64() else {
        return Ok(None);
    };
    if magic != wire::NBD_MAGIC {
        return Err(ClientError::Protocol("it isn't an NBD server"));
    }
    let Some(magic) = reader.u64() else {
        return Ok(None);
    };
    if magic != wire::OPTION_MAGIC {
        return Err(ClientError::Protocol("it isn't a newstyle server"));
    }
    //= proto.md#newstyle-negotiation
    //# The client SHOULD ignore any handshake flags it does not recognize
    Ok(reader.u16().map(HandshakeFlags::from_bits_truncate))
}

/// Appends an option with its header. `payload` has at most 2^32 - 1 bytes; the header of a longer one
/// has the wrong length.
pub fn push_option(number: u32, payload: &[u8], out: &mut Vec<u8>) {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&wire::OPTION_MAGIC.to_be_bytes());
    out.extend_from_slice(&number.to_be_bytes());
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(payload);
}

/// The payload of INFO and GO, with at most the first 65 535 of `requests`.
#[must_use]
pub fn info_payload(name: &str, requests: &[u16]) -> Vec<u8> {
    let mut out = Vec::new();
    push_sized(name, &mut out);
    let count = u16::try_from(requests.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&count.to_be_bytes());
    for request in requests.iter().take(usize::from(count)) {
        out.extend_from_slice(&request.to_be_bytes());
    }
    out
}

/// The payload of LIST_META_CONTEXT and SET_META_CONTEXT.
#[must_use]
pub fn meta_payload(name: &str, queries: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    push_sized(name, &mut out);
    let count = u32::try_from(queries.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&count.to_be_bytes());
    for query in queries {
        push_sized(query, &mut out);
    }
    out
}

fn push_sized(text: &str, out: &mut Vec<u8>) {
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// One reply to an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OptionReply<'a> {
    /// The option that it answers.
    pub option: u32,
    /// The reply type, one of [`wire::option_reply`] or unknown.
    pub kind: u32,
    /// The reply's data, at most [`limits::MAX_OPTION_REPLY`] bytes.
    pub payload: &'a [u8],
}

impl<'a> OptionReply<'a> {
    /// Parses a whole option reply, and returns it with its length in bytes; `None` if `input` has only a
    /// part of it.
    ///
    /// # Errors
    /// [`ClientError::Protocol`] if the magic is wrong or the reply is longer than
    /// [`limits::MAX_OPTION_REPLY`].
    pub fn parse(input: &'a [u8]) -> Result<Option<(Self, usize)>, ClientError> {
        let mut reader = Reader::new(input);
        let Some(magic) = reader.u64() else {
            return Ok(None);
        };
        if magic != wire::OPTION_REPLY_MAGIC {
            return Err(ClientError::Protocol(
                "it sent an option reply with the wrong magic",
            ));
        }
        let (Some(option), Some(kind), Some(length)) = (reader.u32(), reader.u32(), reader.u32())
        else {
            return Ok(None);
        };
        if length > limits::MAX_OPTION_REPLY {
            return Err(ClientError::Protocol(
                "it sent an option reply of more than 16 KiB",
            ));
        }
        let reply = reader.take(length as usize).map(|payload| Self {
            option,
            kind,
            payload,
        });
        Ok(reply.map(|reply| (reply, wire::OPTION_REPLY_HEADER_LEN + length as usize)))
    }

    /// Whether this is an error, which is always the last reply to an option.
    #[must_use]
    pub const fn is_error(&self) -> bool {
        self.kind & wire::option_reply::ERROR != 0
    }
}
