//! Decodes and checks a server's replies (sections "Simple reply message", "Structured reply chunk
//! message", "Extended reply chunk message" and "Structured reply types").

use alloc::string::String;
use alloc::vec::Vec;

use super::{ClientError, Request};
use crate::bytes::Reader;
use crate::wire::{self, chunk, command};
use crate::{CommandFlags, ContextId, Cookie, Descriptor, Errno, Framing, StateFlags, limits};

/// One reply, or one chunk of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The request's cookie.
    pub cookie: Cookie,
    /// Whether this is the last chunk of the request's reply.
    pub done: bool,
    /// Bytes of input that the reply took. The data of [`Body::Data`] comes after these.
    pub used: usize,
    /// The reply's content.
    pub body: Body,
}

/// The content of a reply, or of a chunk. Offsets are those in the export, lengths are in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Success, if no earlier chunk was an error.
    Nothing,
    /// `length` bytes of data follow the first [`Reply::used`] bytes of the input. They lie within the
    /// request, and are empty only if the request is.
    Data {
        /// Offset of the first byte.
        offset: u64,
        /// Length of the data.
        length: u32,
    },
    /// Zeroes, which lie within the request and aren't empty.
    Hole {
        /// Offset of the first byte.
        offset: u64,
        /// Length of the hole.
        length: u32,
    },
    /// One or more descriptors. The first begins at the request's offset.
    BlockStatus {
        /// The context that the descriptors belong to.
        context: ContextId,
        /// 1 to [`limits::MAX_DESCRIPTORS`] descriptors, none of length 0. They may reach past the end
        /// of the request, and of the export.
        descriptors: Vec<Descriptor>,
    },
    /// Failure.
    Error {
        /// The server's error.
        errno: Errno,
        /// The server's explanation; may be empty. Not escaped for a terminal.
        text: String,
        /// Offset where the request failed, if the server sent it.
        offset: Option<u64>,
    },
}

const fn broken<T>(what: &'static str) -> Result<T, ClientError> {
    Err(ClientError::Protocol(what))
}

/// Decodes the reply at the front of `input`, except the data of [`Body::Data`]; `None` if `input` has only
/// a part of it. `asked` returns the request in flight with a cookie. For a block status request with a
/// payload, its length must be the effect length.
///
/// The caller must check that the chunks of a read don't overlap and cover the request. The caller
/// needs a buffer of at most 16 MiB and a few bytes.
///
/// # Errors
/// [`ClientError::Protocol`] for a reply on which a client "MUST" or "MAY" disconnect.
pub fn decode(
    framing: Framing,
    input: &[u8],
    asked: impl FnOnce(Cookie) -> Option<Request>,
) -> Result<Option<Reply>, ClientError> {
    let Some(header) = Header::read(framing, input)? else {
        return Ok(None);
    };
    let Some(request) = asked(header.cookie) else {
        //= proto.md#extended-reply-chunk-message
        //# S: 64 bits, cookie (MUST match the request)
        return broken("it replied to no request");
    };
    match header.form {
        Form::Simple { error } => simple(framing, &header, error, &request).map(Some),
        Form::Chunk { kind, length, .. } => {
            header.check(&request)?;
            let body = input.get(header.len..).unwrap_or_default();
            let read = Chunk {
                framing,
                kind,
                length,
                done: header.done,
                request: &request,
            };
            let Some((used, body)) = read.body(body)? else {
                return Ok(None);
            };
            let used = header.len + used;
            Ok(Some(Reply {
                cookie: header.cookie,
                done: header.done,
                used,
                body,
            }))
        }
    }
}

/// The first bytes of a reply.
struct Header {
    cookie: Cookie,
    done: bool,
    len: usize,
    form: Form,
}

enum Form {
    Simple {
        error: u32,
    },
    Chunk {
        kind: u16,
        length: u64,
        offset: Option<u64>,
    },
}

impl Header {
    fn read(framing: Framing, input: &[u8]) -> Result<Option<Self>, ClientError> {
        let mut reader = Reader::new(input);
        let Some(magic) = reader.u32() else {
            return Ok(None);
        };
        let header = match (magic, framing) {
            (wire::SIMPLE_REPLY_MAGIC, Framing::Simple | Framing::Structured) => {
                Self::simple(&mut reader)
            }
            (wire::STRUCTURED_REPLY_MAGIC, Framing::Structured)
            | (wire::EXTENDED_REPLY_MAGIC, Framing::Extended) => Self::chunk(framing, &mut reader),
            //= proto.md#terminating-the-transmission-phase
            //# Either side MAY initiate a hard disconnect if it detects a violation by the other party of a
            //# mandatory condition within this document.
            _ => return broken("it sent a reply with the wrong magic"),
        };
        Ok(header)
    }

    fn simple(reader: &mut Reader<'_>) -> Option<Self> {
        let form = Form::Simple {
            error: reader.u32()?,
        };
        let cookie = Cookie(reader.u64()?);
        Some(Self {
            cookie,
            done: true,
            len: wire::SIMPLE_REPLY_LEN,
            form,
        })
    }

    fn chunk(framing: Framing, reader: &mut Reader<'_>) -> Option<Self> {
        // "Clients MUST ignore unrecognized flags."
        //= proto.md#structured-reply-flags
        //# Clients MUST ignore unrecognized flags.
        let done = reader.u16()? & chunk::FLAG_DONE != 0;
        let kind = reader.u16()?;
        let cookie = Cookie(reader.u64()?);
        let (len, offset, length) = if framing == Framing::Extended {
            (wire::EXTENDED_REPLY_LEN, Some(reader.u64()?), reader.u64()?)
        } else {
            (wire::STRUCTURED_REPLY_LEN, None, u64::from(reader.u32()?))
        };
        Some(Self {
            cookie,
            done,
            len,
            form: Form::Chunk {
                kind,
                length,
                offset,
            },
        })
    }

    /// "offset (MUST match the request)"
    fn check(&self, request: &Request) -> Result<(), ClientError> {
        //= proto.md#extended-reply-chunk-message
        //# The extended reply has an additional field *offset* which MUST match the *offset* of the client's
        //# request
        match self.form {
            Form::Chunk {
                offset: Some(offset),
                ..
            } if offset != request.offset => {
                broken("it sent an extended reply with another offset than the request's")
            }
            _ => Ok(()),
        }
    }
}

/// A simple reply. If it is that of a read that succeeded, the data follows.
fn simple(
    framing: Framing,
    header: &Header,
    error: u32,
    request: &Request,
) -> Result<Reply, ClientError> {
    let reads = request.kind == command::READ;
    if reads && framing.has_chunks() {
        return broken("it sent a simple reply to a read, although replies come in chunks");
    }
    let body = match Errno::from_wire(error) {
        Some(errno) => Body::Error {
            errno,
            text: String::new(),
            offset: None,
        },
        None if reads => match u32::try_from(request.length) {
            Ok(length) => Body::Data {
                offset: request.offset,
                length,
            },
            Err(_) => return broken("it sent data for a read of 4 GiB or more"),
        },
        None => Body::Nothing,
    };
    Ok(Reply {
        cookie: header.cookie,
        done: true,
        used: header.len,
        body,
    })
}

/// A chunk whose header was read, but not its payload.
struct Chunk<'a> {
    framing: Framing,
    kind: u16,
    length: u64,
    done: bool,
    request: &'a Request,
}

impl Chunk<'_> {
    /// Returns the bytes that the payload took, and its content; `None` if `input` has only a part of it.
    fn body(&self, input: &[u8]) -> Result<Option<(usize, Body)>, ClientError> {
        match self.kind {
            chunk::NONE if self.length == 0 && self.done => Ok(Some((0, Body::Nothing))),
            chunk::OFFSET_DATA => self.data(input),
            //= proto.md#structured-reply-types
            //# If the client receives an unknown or unexpected type with bit 15 set, it MUST consider the
            //# current reply as errored
            kind if kind & chunk::ERROR_BIT != 0 => {
                if self.length > limits::MAX_ERROR_CHUNK {
                    //= proto.md#extended-reply-chunk-message
                    //# a client MAY initiate hard disconnect if a server's reply length is unexpectedly large.
                    return broken("it sent an error chunk of more than 16 KiB");
                }
                self.whole(input, Self::error)
            }
            chunk::OFFSET_HOLE if self.length == 12 => self.whole(input, Self::hole),
            //= proto.md#structured-reply-types
            //# *length* MUST be 4 + (a positive integer multiple of 8).
            chunk::BLOCK_STATUS => self.block_status(input, 4, 8),
            //= proto.md#structured-reply-types
            //# This chunk type MUST NOT be used unless extended headers were negotiated with
            //# `NBD_OPT_EXTENDED_HEADERS`.
            chunk::BLOCK_STATUS_EXT if self.framing == Framing::Extended => {
                //= proto.md#structured-reply-types
                //# *length* MUST be 8 + (a positive multiple of 16).
                self.block_status(input, 8, 16)
            }
            //= proto.md#structured-reply-types
            //# If the client receives an unknown or unexpected type, other than an *error chunk*, it MUST
            //# initiate a hard disconnect.
            _ => broken("it sent a chunk of an unknown type or the wrong length"),
        }
    }

    /// Reads the payload once all of it is there. The caller has checked its length.
    fn whole(
        &self,
        input: &[u8],
        read: fn(&Self, Reader<'_>) -> Result<Body, ClientError>,
    ) -> Result<Option<(usize, Body)>, ClientError> {
        let Ok(length) = usize::try_from(self.length) else {
            return broken("it sent a chunk that is too long");
        };
        let Some(payload) = input.get(..length) else {
            return Ok(None);
        };
        Ok(Some((length, read(self, Reader::new(payload))?)))
    }

    /// "The data MUST lie within the bounds of the original offset and length of the client's
    /// request". "length MUST be at least 9."
    fn data(&self, input: &[u8]) -> Result<Option<(usize, Body)>, ClientError> {
        let length = self
            .length
            .checked_sub(8)
            .and_then(|length| u32::try_from(length).ok());
        let Some(length) = length.filter(|length| *length > 0) else {
            return broken("it sent a data chunk of the wrong length");
        };
        let Some(offset) = Reader::new(input).u64() else {
            return Ok(None);
        };
        self.check_content(offset, length)?;
        Ok(Some((8, Body::Data { offset, length })))
    }

    fn hole(&self, mut payload: Reader<'_>) -> Result<Body, ClientError> {
        let (Some(offset), Some(length)) = (payload.u64(), payload.u32()) else {
            return broken("it sent an incomplete hole");
        };
        if length == 0 {
            //= proto.md#structured-reply-types
            //# 32 bits: hole size (unsigned, MUST be nonzero)
            return broken("it sent a hole of length 0");
        }
        self.check_content(offset, length)?;
        Ok(Body::Hole { offset, length })
    }

    fn check_content(&self, offset: u64, length: u32) -> Result<(), ClientError> {
        let Request {
            kind,
            offset: start,
            length: asked,
            ..
        } = *self.request;
        let end = offset
            .checked_sub(start)
            .and_then(|from| from.checked_add(u64::from(length)));
        if kind != command::READ {
            //= proto.md#request-types
            //# A client MAY initiate a hard disconnect if it detects that the server has sent invalid chunks
            //# (such as overlapping data, or not enough data before claiming success).
            return broken("it sent data or a hole for a request that isn't a read");
        }
        match end {
            //= proto.md#structured-reply-types
            //# The data MUST lie within the bounds of the original offset and length of the client's request
            Some(end) if end <= asked => Ok(()),
            //= proto.md#structured-reply-types
            //# For all other messages with unknown or unexpected type or inconsistent contents, the client MUST
            //# initiate a hard disconnect.
            _ => broken("it sent data or a hole outside the request"),
        }
    }

    /// Reads a status chunk with `fields` bytes before the descriptors and `each` bytes in a descriptor.
    /// Extended framing may have both kinds: "the client MUST be prepared for the server to use either".
    fn block_status(
        &self,
        input: &[u8],
        fields: u64,
        each: u64,
    ) -> Result<Option<(usize, Body)>, ClientError> {
        let list = self.length.saturating_sub(fields);
        let sane = list > 0 && list.is_multiple_of(each);
        if !sane || list / each > limits::MAX_DESCRIPTORS as u64 {
            //= proto.md#request-types
            //# A client MAY initiate a hard disconnect if it detects that the server has sent an invalid chunk.
            return broken("it sent a block status chunk of the wrong length");
        }
        if self.request.kind != command::BLOCK_STATUS {
            return broken("it sent block status for another request");
        }
        self.whole(input, Self::descriptors)
    }

    fn descriptors(&self, mut payload: Reader<'_>) -> Result<Body, ClientError> {
        let context = ContextId(payload.u32().unwrap_or_default());
        let extended = self.kind == chunk::BLOCK_STATUS_EXT;
        if extended {
            let announced = payload.u32().unwrap_or_default() as usize;
            // "If the descriptor count field contains 0, the number of subsequent descriptors is
            // determined solely by the length field".
            if announced != 0 && Some(payload.len()) != announced.checked_mul(16) {
                return broken("it sent a descriptor count that contradicts the length");
            }
        }
        let mut descriptors = Vec::with_capacity(payload.len() / if extended { 16 } else { 8 });
        while let Some(descriptor) = descriptor(&mut payload, extended) {
            descriptors.push(descriptor);
        }
        self.check_descriptors(&descriptors)?;
        Ok(Body::BlockStatus {
            context,
            descriptors,
        })
    }

    /// Section `NBD_REPLY_TYPE_BLOCK_STATUS`.
    fn check_descriptors(&self, descriptors: &[Descriptor]) -> Result<(), ClientError> {
        let asked = self.request.length;
        if descriptors.iter().any(|descriptor| descriptor.length == 0) {
            //= proto.md#structured-reply-types
            //# 32 bits, length of the extent to which the status below applies (unsigned, MUST be nonzero)
            return broken("it sent a descriptor of length 0");
        }
        if self.request.flags.contains(CommandFlags::REQ_ONE) {
            return match descriptors {
                //= proto.md#structured-reply-types
                //# every reply chunk MUST contain exactly one descriptor, and that descriptor MUST NOT exceed
                //# the *length* of the original request.
                [one] if one.length <= asked => Ok(()),
                _ => broken("it didn't send exactly one descriptor within the request"),
            };
        }
        let before_last = descriptors
            .split_last()
            .map_or(&[][..], |(_, before)| before);
        let sum = before_last
            .iter()
            .fold(0u64, |sum, piece| sum.saturating_add(piece.length));
        //= proto.md#structured-reply-types
        //# the sum of the *length* fields of the first N-1 extents (if any) MUST be less than the requested
        //# length,
        if sum != 0 && sum >= asked {
            return broken("it sent descriptors beyond the end of the request");
        }
        Ok(())
    }

    /// "All error chunk types have bit 15 set, and begin with the same error, message length, and
    /// optional message fields". Unknown types are errors too.
    fn error(&self, mut payload: Reader<'_>) -> Result<Body, ClientError> {
        let (Some(error), Some(length)) = (payload.u32(), payload.u16()) else {
            return broken("it sent an incomplete error chunk");
        };
        let Some(errno) = Errno::from_wire(error) else {
            //= proto.md#structured-reply-types
            //# 32 bits: error (MUST be nonzero)
            return broken("it sent an error of value 0");
        };
        let length = usize::from(length);
        //= proto.md#structured-reply-types
        //# Note that *message length* MUST NOT exceed the 4096 bytes string length limit.
        let Some(text) = payload
            .take(length)
            .filter(|_| length <= limits::MAX_STRING)
        else {
            return broken("it sent an error text that is too long");
        };
        let offset = match self.kind {
            chunk::ERROR_OFFSET => match payload.u64() {
                Some(offset) => Some(offset),
                None => return broken("it sent an error without its offset"),
            },
            _ => None,
        };
        Ok(Body::Error {
            errno,
            text: String::from_utf8_lossy(text).into_owned(),
            offset,
        })
    }
}

/// Reads the next descriptor. "clients MUST ignore unknown flags", among them the upper half of the
/// extended ones.
fn descriptor(payload: &mut Reader<'_>, extended: bool) -> Option<Descriptor> {
    let length = if extended {
        payload.u64()?
    } else {
        u64::from(payload.u32()?)
    };
    if extended {
        payload.u32()?;
    }
    //= proto.md#baseallocation-metadata-context
    //# clients MUST ignore unknown flags.
    let flags = StateFlags::from_bits_truncate(payload.u32()?);
    Some(Descriptor { length, flags })
}
