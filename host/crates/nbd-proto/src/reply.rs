//! Replies, appended to a buffer in the framing that was agreed.

use thiserror::Error;

use crate::{ContextId, Errno, Framing, Head, StateFlags};

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
    /// Block status without a descriptor of non-zero length.
    #[error("block status without a descriptor")]
    NoDescriptors,
}

/// Longest header before data, in bytes: what [`data_header`] appends at most.
pub const MAX_DATA_HEADER_LEN: usize = 40;

/// Bytes that [`data_header`] appends: 16, 28 or 40.
#[must_use]
pub const fn data_header_len(framing: Framing) -> usize {
    let _ = framing;
    todo!()
}

/// Bytes that [`block_status`] appends at most for `descriptors` descriptors.
#[must_use]
pub const fn block_status_len(framing: Framing, descriptors: usize) -> usize {
    let _ = (framing, descriptors);
    todo!()
}

/// Success without data; with chunks also the end of a read whose last content chunk wasn't `done`.
pub fn ok(head: Head, out: &mut Vec<u8>) {
    let _ = (head, out);
    todo!()
}

/// Failure, and the end of the reply; with chunks also after some content chunks.
pub fn error(head: Head, errno: Errno, text: &str, out: &mut Vec<u8>) {
    let _ = (head, errno, text, out);
    todo!()
}

/// What precedes `length` bytes of data at `offset`; the shell sends exactly those bytes next.
pub fn data_header(head: Head, offset: u64, length: u32, done: bool, out: &mut Vec<u8>) {
    let _ = (head, offset, length, done, out);
    todo!()
}

/// `length` (not 0) zeroes at `offset`, as a chunk.
///
/// # Errors
/// [`EncodeError::NoChunks`] with simple replies: send zeroes as data.
pub fn hole(
    head: Head,
    offset: u64,
    length: u32,
    done: bool,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let _ = (head, offset, length, done, out);
    todo!()
}

/// The whole reply to a block status request for `length` bytes.
///
/// # Errors
/// [`EncodeError`].
pub fn block_status(
    head: Head,
    context: ContextId,
    length: u64,
    one: bool,
    descriptors: impl IntoIterator<Item = Descriptor>,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let _ = (head, context, length, one, descriptors, out);
    todo!()
}
