//! Encodes replies into a buffer, in the framing that both sides agreed on.
//!
//! The shell answers a request with exactly one of these:
//!
//! - [`ok`] or [`error`];
//! - for a read, any number of [`data_header`], each followed by its data, and [`hole`]. Either the last
//!   of them is `done`, or none is and [`ok`] or [`error`] follows;
//! - [`block_status`].
//!
//! With simple replies and for a READ with DF the shell uses one [`data_header`] for the whole request,
//! and no [`hole`]. Section "`NBD_CMD_READ`": chunks "MUST NOT ... overlap", lie in the request and
//! cover it, in any order; `done` "MUST NOT" be on a content chunk "if it would still be possible to
//! detect an error while transmitting the chunk".

use alloc::vec::Vec;

use thiserror::Error;

use crate::wire::{self, chunk};
use crate::{ContextId, Errno, Framing, Head, StateFlags, limits, text};

/// One extent of a block status reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Length in bytes.
    pub length: u64,
    /// State of the extent's bytes.
    pub flags: StateFlags,
}

/// Why a reply can't be encoded: the shell made a mistake. The buffer is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// The framing is [`Framing::Simple`], which has no chunks, so no holes and no block status.
    #[error("simple replies have neither holes nor block status")]
    NoChunks,
    /// The hole's length is 0.
    #[error("a hole needs a length of at least 1")]
    EmptyHole,
    /// Block status has no descriptor with a length above 0.
    #[error("block status needs a descriptor with a length of at least 1")]
    NoDescriptors,
}

/// The most bytes that [`data_header`] appends.
pub const MAX_DATA_HEADER_LEN: usize = data_header_len(Framing::Extended);

/// The most bytes that [`error`] appends.
pub const MAX_ERROR_LEN: usize = header_len(Framing::Extended) + ERROR_FIELDS + limits::MAX_STRING;

/// Bytes of the error value and the message length.
const ERROR_FIELDS: usize = 6;

/// Bytes of a reply's header: 16, 20 or 32.
#[must_use]
pub const fn header_len(framing: Framing) -> usize {
    match framing {
        Framing::Simple => wire::SIMPLE_REPLY_LEN,
        Framing::Structured => wire::STRUCTURED_REPLY_LEN,
        //= proto.md#option-types
        //# the server MUST use the 32-byte extended reply header.
        Framing::Extended => wire::EXTENDED_REPLY_LEN,
    }
}

/// Bytes that [`data_header`] appends: 16, 28 or 40.
#[must_use]
//= proto.md#size-constraints
//# the server MAY exceed the maximum payload by the fixed amount of overhead required in the structured reply
pub const fn data_header_len(framing: Framing) -> usize {
    header_len(framing) + if framing.has_chunks() { 8 } else { 0 }
}

/// Bytes that [`hole`] appends: 32 or 44.
#[must_use]
pub const fn hole_len(framing: Framing) -> usize {
    header_len(framing) + 12
}

/// The most bytes that [`block_status`] appends for this number of descriptors.
#[must_use]
pub const fn block_status_len(framing: Framing, descriptors: usize) -> usize {
    let (fields, each) = match framing {
        //= proto.md#structured-reply-types
        //# *length* MUST be 4 + (a positive integer multiple of 8).
        Framing::Simple | Framing::Structured => (4, 8),
        //= proto.md#structured-reply-types
        //# *length* MUST be 8 + (a positive multiple of 16).
        Framing::Extended => (8, 16),
    };
    header_len(framing)
        .saturating_add(descriptors.saturating_mul(each))
        .saturating_add(fields)
}

/// Appends success without data. With chunks it also ends a read if none of its chunks was `done`.
pub fn ok(head: Head, out: &mut Vec<u8>) {
    match head.framing {
        //= proto.md#simple-reply-message
        //# The simple reply message MUST be sent by the server in response to all requests if structured
        //# replies have not been negotiated using `NBD_OPT_STRUCTURED_REPLY`.
        Framing::Simple => simple(head, 0, out),
        // "length MUST be 0 ... MUST always be used with the NBD_REPLY_FLAG_DONE bit set"
        //= proto.md#simple-reply-message
        //# If extended headers have been negotiated, a simple reply MUST NOT be used.
        //= proto.md#structured-reply-flags
        //# This bit MUST always be set for the `NBD_REPLY_TYPE_NONE` chunk
        //= proto.md#structured-reply-types
        //# *length* MUST be 0 (and the payload field omitted). This chunk type MUST always be used with the
        //# `NBD_REPLY_FLAG_DONE` bit set
        Framing::Structured | Framing::Extended => chunk(head, true, chunk::NONE, 0, out),
    }
}

/// Appends a failure, which ends the reply. With chunks it may follow some of a read's content chunks.
/// (After the header of a simple reply no error is possible: "the server MUST immediately initiate a
/// hard disconnect".)
///
/// The reply has `text` without NULs, cut between two characters to at most 4096 bytes. Simple replies
/// have no text.
pub fn error(head: Head, errno: Errno, text: &str, out: &mut Vec<u8>) {
    //= proto.md#structured-reply-chunk-message
    //# The server MUST NOT send this reply type unless the client has successfully negotiated structured
    //# replies via `NBD_OPT_STRUCTURED_REPLY`.
    if !head.framing.has_chunks() {
        return simple(head, errno.to_wire(), out);
    }
    let start = out.len();
    //= proto.md#structured-reply-chunk-message
    //# MUST NOT use a simple reply for `NBD_CMD_READ` (even for the case of an early `NBD_EINVAL` due to bad
    //# flags)
    chunk(head, true, chunk::ERROR, 0, out);
    //= proto.md#structured-reply-types
    //# 32 bits: error (MUST be nonzero)
    out.extend_from_slice(&errno.to_wire().to_be_bytes());
    let text_at = out.len() + 2;
    //= proto.md#structured-reply-types
    //# *length* MUST be at least 6.
    out.extend_from_slice(&[0; 2]);
    // "message length MUST NOT exceed the 4096 bytes string length limit"
    //= proto.md#structured-reply-chunk-message
    //# The server SHOULD prefer sending errors via a structured reply, as the error can then be accompanied by
    //# a string payload to present to a human user.
    //= proto.md#structured-reply-types
    //# Note that *message length* MUST NOT exceed the 4096 bytes string length limit.
    text::push_string(text, out);
    let text_len = u16::try_from(out.len() - text_at).unwrap_or(0);
    patch(out, text_at - 2, &text_len.to_be_bytes());
    patch_length(head.framing, start, out);
}

/// Appends the header before `length` bytes (at least 1) at `offset` of the export. The shell sends
/// exactly that number of bytes next, whatever happens: "the server MUST still complete the transmission
/// of any current chunk (it MUST use padding bytes which SHOULD be zero ...)".
///
/// A simple reply has one such header for the whole request, without `offset` and `done`.
pub fn data_header(head: Head, offset: u64, length: u32, done: bool, out: &mut Vec<u8>) {
    //= proto.md#request-types
    //# The server MUST reply with either a simple reply or a structured reply, according to whether the
    //# structured replies have been negotiated
    if !head.framing.has_chunks() {
        return simple(head, 0, out);
    }
    //= proto.md#structured-reply-chunk-message
    //# the server MUST use a structured reply for any response with a payload
    chunk(head, done, chunk::OFFSET_DATA, u64::from(length) + 8, out);
    out.extend_from_slice(&offset.to_be_bytes());
}

/// Appends a chunk of `length` zero bytes (at least 1) at `offset` of the export.
///
/// # Errors
/// [`EncodeError::NoChunks`] with simple replies, which send zeroes as data, and
/// [`EncodeError::EmptyHole`].
pub fn hole(
    head: Head,
    offset: u64,
    length: u32,
    done: bool,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    if !head.framing.has_chunks() {
        return Err(EncodeError::NoChunks);
    }
    // "hole size (unsigned, MUST be nonzero)"
    if length == 0 {
        //= proto.md#structured-reply-types
        //# 32 bits: hole size (unsigned, MUST be nonzero)
        return Err(EncodeError::EmptyHole);
    }
    //= proto.md#structured-reply-types
    //# *length* MUST be exactly 12.
    chunk(head, done, chunk::OFFSET_HOLE, 12, out);
    out.extend_from_slice(&offset.to_be_bytes());
    out.extend_from_slice(&length.to_be_bytes());
    Ok(())
}

/// Appends the whole reply to a block status request for `length` bytes, with `one` descriptor or
/// several.
///
/// It appends only those `descriptors` that the protocol allows: none of length 0; with `one` only the
/// first, cut to the request; none after the request is covered; at most [`limits::MAX_DESCRIPTORS`].
/// With compact headers it cuts a length that doesn't fit into 32 bits to
/// [`limits::MAX_COMPACT_EXTENT`] and ends the reply there. The client then requests the rest.
///
/// # Errors
/// [`EncodeError::NoChunks`] with simple replies, and [`EncodeError::NoDescriptors`] if there is
/// nothing to send: "the server MUST return at least one status descriptor".
pub fn block_status(
    head: Head,
    context: ContextId,
    length: u64,
    one: bool,
    descriptors: impl IntoIterator<Item = Descriptor>,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    if !head.framing.has_chunks() {
        return Err(EncodeError::NoChunks);
    }
    let extended = head.framing == Framing::Extended;
    //= proto.md#structured-reply-types
    //# Note that when extended headers are in use, the extended reply chunk MUST be used even when the client's
    //# hinted effect length was less than 32 bits.
    //= proto.md#request-types
    //# the server MUST use one reply chunk per selected context id (only `NBD_REPLY_TYPE_BLOCK_STATUS` for
    //# structured replies, and only `NBD_REPLY_TYPE_BLOCK_STATUS_EXT` for extended headers)
    let kind = if extended {
        //= proto.md#structured-reply-types
        //# This chunk type MUST NOT be used unless extended headers were negotiated with
        //# `NBD_OPT_EXTENDED_HEADERS`.
        chunk::BLOCK_STATUS_EXT
    } else {
        chunk::BLOCK_STATUS
    };
    let start = out.len();
    chunk(head, true, kind, 0, out);
    out.extend_from_slice(&context.0.to_be_bytes());
    let count_at = out.len();
    if extended {
        out.extend_from_slice(&[0; 4]);
    }
    //= proto.md#metadata-querying
    //# the server MUST respond with one structured reply chunk of type `NBD_REPLY_TYPE_BLOCK_STATUS` per
    //# metadata context selected during negotiation
    let count = push_descriptors(extended, length, one, descriptors, out);
    //= proto.md#structured-reply-types
    //# 32 bits, descriptor count (MUST be nonzero)
    if count == 0 {
        out.truncate(start);
        //= proto.md#request-types
        //# the server MUST return at least one status descriptor
        return Err(EncodeError::NoDescriptors);
    }
    if extended {
        // "the server MAY populate the descriptor count field ...; when doing this, the server MUST
        // ensure that the header length is equal to descriptor count * 16 + 8"
        //= proto.md#structured-reply-types
        //# The *descriptor count* field MUST correspond to the number of subsequent descriptors, such that the
        //# header *length* is equal to *descriptor count* * 16 + 8.
        patch(out, count_at, &count.to_be_bytes());
    }
    patch_length(head.framing, start, out);
    Ok(())
}

/// Appends the descriptors that the protocol allows, and returns their number.
fn push_descriptors(
    extended: bool,
    length: u64,
    one: bool,
    descriptors: impl IntoIterator<Item = Descriptor>,
    out: &mut Vec<u8>,
) -> u32 {
    // "every reply chunk MUST contain exactly one descriptor, and that descriptor MUST NOT exceed
    // the length of the original request"
    //= proto.md#structured-reply-types
    //# every reply chunk MUST contain exactly one descriptor, and that descriptor MUST NOT exceed the *length*
    //# of the original request.
    let (most, longest) = if one {
        //= proto.md#command-flags
        //# If this flag is present, the server MUST NOT send metadata on more than one extent in the reply.
        (1, length)
    } else {
        //= proto.md#structured-reply-types
        //# Servers SHOULD NOT send more than 2^20 extents in a single reply chunk
        (limits::MAX_DESCRIPTORS, u64::MAX)
    };
    // "length of the extent to which the status below applies (unsigned, MUST be nonzero)"
    //= proto.md#structured-reply-types
    //# 32 bits, length of the extent to which the status below applies (unsigned, MUST be nonzero)
    let pieces = descriptors
        .into_iter()
        .filter(|piece| piece.length != 0)
        .take(most);
    let mut covered: u64 = 0;
    let mut count = 0;
    for piece in pieces {
        //= proto.md#request-types
        //# each chunk contains exactly one descriptor where the *length* of the descriptor MUST NOT be greater
        //# than the *length* of the request
        let piece_length = piece.length.min(longest);
        let compact = u32::try_from(piece_length).unwrap_or(limits::MAX_COMPACT_EXTENT);
        if extended {
            //= proto.md#structured-reply-types
            //# 64 bits, length of the extent to which the status below applies (unsigned, MUST be nonzero)
            out.extend_from_slice(&piece_length.to_be_bytes());
            //= proto.md#structured-reply-types
            //# the most-significant 32 bits of *status* MUST be all zeroes.
            out.extend_from_slice(&u64::from(piece.flags.bits()).to_be_bytes());
        } else {
            out.extend_from_slice(&compact.to_be_bytes());
            out.extend_from_slice(&piece.flags.bits().to_be_bytes());
        }
        count += 1;
        covered = covered.saturating_add(piece_length);
        //= proto.md#request-types
        //# On the other hand, the server MAY return less data than requested.
        let was_cut = !extended && u64::from(compact) != piece_length;
        // "the sum of the length fields of the first N-1 extents (if any) MUST be less than the
        // requested length"
        //= proto.md#structured-reply-types
        //# the sum of the *length* fields of the first N-1 extents (if any) MUST be less than the requested
        //# length,
        if was_cut || covered >= length {
            break;
        }
    }
    count
}

/// Section "Simple reply message".
fn simple(head: Head, error: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(&wire::SIMPLE_REPLY_MAGIC.to_be_bytes());
    out.extend_from_slice(&error.to_be_bytes());
    //= proto.md#transmission
    //# the server MUST use the same value for cookie as was sent by the client in the corresponding request
    out.extend_from_slice(&head.cookie.0.to_be_bytes());
}

/// Sections "Structured reply chunk message" and "Extended reply chunk message": the header for a
/// payload of `length` bytes, which fits into 32 bits for all replies of this file.
fn chunk(head: Head, done: bool, kind: u16, length: u64, out: &mut Vec<u8>) {
    let extended = head.framing == Framing::Extended;
    let magic = if extended {
        //= proto.md#extended-reply-chunk-message
        //# If extended headers are negotiated, all server replies MUST use an extended reply; the server MUST
        //# NOT use simple replies even when there is no payload.
        wire::EXTENDED_REPLY_MAGIC
    } else {
        //= proto.md#request-types
        //# a read request MUST result in a structured reply with one or more chunks
        wire::STRUCTURED_REPLY_MAGIC
    };
    out.extend_from_slice(&magic.to_be_bytes());
    //= proto.md#structured-reply-flags
    //# The server MUST NOT set any other flags without first negotiating the extension with the client
    out.extend_from_slice(&if done { chunk::FLAG_DONE } else { 0 }.to_be_bytes());
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&head.cookie.0.to_be_bytes());
    if extended {
        // "offset (MUST match the request)"
        //= proto.md#extended-reply-chunk-message
        //# The extended reply has an additional field *offset* which MUST match the *offset* of the client's
        //# request
        out.extend_from_slice(&head.offset.to_be_bytes());
        out.extend_from_slice(&length.to_be_bytes());
    } else {
        out.extend_from_slice(&compact_length(length).to_be_bytes());
    }
}

/// Sets the length field of the header at `start` to the number of bytes after it. In both framings the
/// length is the header's last field.
fn patch_length(framing: Framing, start: usize, out: &mut [u8]) {
    let end_of_header = start + header_len(framing);
    let length = out.len().saturating_sub(end_of_header) as u64;
    match framing {
        Framing::Extended => patch(out, end_of_header - 8, &length.to_be_bytes()),
        Framing::Simple | Framing::Structured => {
            patch(
                out,
                end_of_header - 4,
                &compact_length(length).to_be_bytes(),
            );
        }
    }
}

/// A length for a compact header. The payloads of this file fit: that of [`data_header`] has at most
/// [`limits::MAX_PAYLOAD`] + 8 bytes, although its argument would allow 2^32 + 7.
fn compact_length(length: u64) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn patch(out: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = out.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}
