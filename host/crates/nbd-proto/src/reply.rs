//! Replies, appended to a buffer in the framing that was agreed.
//!
//! A request is answered by exactly one of
//! - [`ok`] or [`error`];
//! - a read: any number of [`data_header`] (each followed by the data) and [`hole`], the last of
//!   them `done`, or none `done` and then [`ok`] or [`error`];
//! - [`block_status`].
//!
//! With simple replies and for a READ with DF there is one [`data_header`], for the whole request,
//! and no [`hole`]. Section "`NBD_CMD_READ`": chunks "MUST NOT ... overlap", lie in the request and
//! cover it, in any order; `done` "MUST NOT" be on a content chunk "if it would still be possible to
//! detect an error while transmitting the chunk".

use alloc::vec::Vec;

use thiserror::Error;

use crate::wire::{self, chunk};
use crate::{ContextId, Errno, Framing, Head, StateFlags, limits, text};

/// One piece of a block status reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Bytes.
    pub length: u64,
    /// What is there.
    pub flags: StateFlags,
}

/// A reply that can't be said: the shell's mistake, and nothing was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// Simple replies have no chunks, so no holes and no block status.
    #[error("simple replies can't carry this")]
    NoChunks,
    /// A hole of no bytes.
    #[error("a hole of no bytes")]
    EmptyHole,
    /// Block status without a descriptor of non-zero length.
    #[error("block status without a descriptor")]
    NoDescriptors,
}

/// What [`data_header`] appends at most, in bytes.
pub const MAX_DATA_HEADER_LEN: usize = data_header_len(Framing::Extended);

/// What [`error`] appends at most, in bytes.
pub const MAX_ERROR_LEN: usize = header_len(Framing::Extended) + ERROR_FIELDS + limits::MAX_STRING;

/// Error value and message length.
const ERROR_FIELDS: usize = 6;

/// Bytes of a reply's header: 16, 20 or 32.
#[must_use]
pub const fn header_len(framing: Framing) -> usize {
    match framing {
        Framing::Simple => wire::SIMPLE_REPLY_LEN,
        Framing::Structured => wire::STRUCTURED_REPLY_LEN,
        Framing::Extended => wire::EXTENDED_REPLY_LEN,
    }
}

/// Bytes that [`data_header`] appends: 16, 28 or 40.
#[must_use]
pub const fn data_header_len(framing: Framing) -> usize {
    header_len(framing) + if framing.has_chunks() { 8 } else { 0 }
}

/// Bytes that [`hole`] appends: 32 or 44.
#[must_use]
pub const fn hole_len(framing: Framing) -> usize {
    header_len(framing) + 12
}

/// Bytes that [`block_status`] appends at most for so many descriptors.
#[must_use]
pub const fn block_status_len(framing: Framing, descriptors: usize) -> usize {
    let (fields, each) = match framing {
        Framing::Simple | Framing::Structured => (4, 8),
        Framing::Extended => (8, 16),
    };
    header_len(framing)
        .saturating_add(descriptors.saturating_mul(each))
        .saturating_add(fields)
}

/// Success without data; with chunks also the end of a read none of whose chunks was `done`.
pub fn ok(head: Head, out: &mut Vec<u8>) {
    match head.framing {
        Framing::Simple => simple(head, 0, out),
        // "length MUST be 0 ... MUST always be used with the NBD_REPLY_FLAG_DONE bit set"
        Framing::Structured | Framing::Extended => chunk(head, true, chunk::NONE, 0, out),
    }
}

/// Failure, and the end of the reply; with chunks also after some of a read's content chunks. (With
/// a simple reply whose header was sent nothing can be said any more: "the server MUST immediately
/// initiate a hard disconnect".)
///
/// Of `text` goes out what a string may be: no NUL, and no more than 4096 bytes, cut at a
/// character's border. Simple replies carry none.
pub fn error(head: Head, errno: Errno, text: &str, out: &mut Vec<u8>) {
    if !head.framing.has_chunks() {
        return simple(head, errno.to_wire(), out);
    }
    let start = out.len();
    chunk(head, true, chunk::ERROR, 0, out);
    out.extend_from_slice(&errno.to_wire().to_be_bytes());
    let text_at = out.len() + 2;
    out.extend_from_slice(&[0; 2]);
    // "message length MUST NOT exceed the 4096 bytes string length limit"
    text::push_string(text, out);
    let text_len = u16::try_from(out.len() - text_at).unwrap_or(0);
    patch(out, text_at - 2, &text_len.to_be_bytes());
    patch_length(head.framing, start, out);
}

/// What precedes `length` bytes (not 0) at `offset` of the export. The shell sends exactly so many
/// bytes next, whatever happens: "the server MUST still complete the transmission of any current
/// chunk (it MUST use padding bytes which SHOULD be zero ...)".
///
/// Simple: once, for the whole request; `offset` and `done` go without saying.
pub fn data_header(head: Head, offset: u64, length: u32, done: bool, out: &mut Vec<u8>) {
    if !head.framing.has_chunks() {
        return simple(head, 0, out);
    }
    chunk(head, done, chunk::OFFSET_DATA, u64::from(length) + 8, out);
    out.extend_from_slice(&offset.to_be_bytes());
}

/// `length` zeroes (not 0) at `offset` of the export, as a chunk.
///
/// # Errors
/// [`EncodeError::NoChunks`] with simple replies, whose zeroes are sent as data, and
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
        return Err(EncodeError::EmptyHole);
    }
    chunk(head, done, chunk::OFFSET_HOLE, 12, out);
    out.extend_from_slice(&offset.to_be_bytes());
    out.extend_from_slice(&length.to_be_bytes());
    Ok(())
}

/// The whole reply to a block status request for `length` bytes, with `one` descriptor or several.
///
/// Sends as many of `descriptors` as it may, whatever is given: none of length 0; with `one` only
/// the first, no longer than the request; none after the request is covered; no more than
/// [`limits::MAX_DESCRIPTORS`]. Where headers are compact, a length that 32 bits can't say is cut to
/// [`limits::MAX_COMPACT_EXTENT`] and ends the reply; the client asks again from there.
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
    let kind = if extended {
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
    let count = push_descriptors(extended, length, one, descriptors, out);
    if count == 0 {
        out.truncate(start);
        return Err(EncodeError::NoDescriptors);
    }
    if extended {
        // "the server MAY populate the descriptor count field ...; when doing this, the server MUST
        // ensure that the header length is equal to descriptor count * 16 + 8"
        patch(out, count_at, &count.to_be_bytes());
    }
    patch_length(head.framing, start, out);
    Ok(())
}

/// Appends the descriptors that may be sent and says how many these were.
fn push_descriptors(
    extended: bool,
    length: u64,
    one: bool,
    descriptors: impl IntoIterator<Item = Descriptor>,
    out: &mut Vec<u8>,
) -> u32 {
    // "every reply chunk MUST contain exactly one descriptor, and that descriptor MUST NOT exceed
    // the length of the original request"
    let (most, longest) = if one {
        (1, length)
    } else {
        (limits::MAX_DESCRIPTORS, u64::MAX)
    };
    // "length of the extent to which the status below applies (unsigned, MUST be nonzero)"
    let pieces = descriptors
        .into_iter()
        .filter(|piece| piece.length != 0)
        .take(most);
    let mut covered: u64 = 0;
    let mut count = 0;
    for piece in pieces {
        let piece_length = piece.length.min(longest);
        let compact = u32::try_from(piece_length).unwrap_or(limits::MAX_COMPACT_EXTENT);
        if extended {
            out.extend_from_slice(&piece_length.to_be_bytes());
            out.extend_from_slice(&u64::from(piece.flags.bits()).to_be_bytes());
        } else {
            out.extend_from_slice(&compact.to_be_bytes());
            out.extend_from_slice(&piece.flags.bits().to_be_bytes());
        }
        count += 1;
        covered = covered.saturating_add(piece_length);
        let was_cut = !extended && u64::from(compact) != piece_length;
        // "the sum of the length fields of the first N-1 extents (if any) MUST be less than the
        // requested length"
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
    out.extend_from_slice(&head.cookie.0.to_be_bytes());
}

/// Sections "Structured reply chunk message" and "Extended reply chunk message": the header for a
/// payload of `length` bytes, which is below 2^32 for everything in this file.
fn chunk(head: Head, done: bool, kind: u16, length: u64, out: &mut Vec<u8>) {
    let extended = head.framing == Framing::Extended;
    let magic = if extended {
        wire::EXTENDED_REPLY_MAGIC
    } else {
        wire::STRUCTURED_REPLY_MAGIC
    };
    out.extend_from_slice(&magic.to_be_bytes());
    out.extend_from_slice(&if done { chunk::FLAG_DONE } else { 0 }.to_be_bytes());
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&head.cookie.0.to_be_bytes());
    if extended {
        // "offset (MUST match the request)"
        out.extend_from_slice(&head.offset.to_be_bytes());
        out.extend_from_slice(&length.to_be_bytes());
    } else {
        out.extend_from_slice(&compact_length(length).to_be_bytes());
    }
}

/// Writes the length of what follows the header at `start` into it. Both framings end their header
/// with it.
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

/// A length for a compact header. All payloads of this file fit: [`data_header`] has 2^32 + 7 at
/// most in theory and [`limits::MAX_PAYLOAD`] + 8 in practice.
fn compact_length(length: u64) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn patch(out: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = out.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}
