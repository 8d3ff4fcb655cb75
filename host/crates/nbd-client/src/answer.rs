//! The whole reply to one request, put together from its chunks.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use nbd_proto::client::{Body, Request, decode};
use nbd_proto::wire::command;
use nbd_proto::{ContextId, Descriptor, Errno, Framing};

use crate::ClientError;
use crate::inbox::Inbox;

/// The reply to a request that succeeded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The bytes of a READ, with its holes filled with zeroes; else empty.
    pub bytes: Vec<u8>,
    /// The number of chunks with bytes.
    pub data_chunks: usize,
    /// The number of chunks that are holes.
    pub hole_chunks: usize,
    /// The descriptors of a BLOCK_STATUS, as the server sent them, at least one; else empty.
    pub descriptors: Vec<Descriptor>,
}

/// An error reply of the server. The connection goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The error.
    pub errno: Errno,
    /// The server's explanation; empty if replies are simple. Not escaped for a terminal.
    pub text: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.errno.name(), self.text)
    }
}

/// A reply of which a part may still be to come.
#[derive(Debug)]
pub(crate) struct Gathering {
    request: Request,
    framing: Framing,
    /// The context that the client selected.
    context: Option<ContextId>,
    answer: Answer,
    refused: Option<Refused>,
    /// The ranges of `answer.bytes` that the chunks so far are for: starts, and ends.
    covered: BTreeMap<usize, usize>,
    /// The part of `answer.bytes` that the last chunk's data, still to come, belongs to.
    coming: Range<usize>,
    done: bool,
}

impl Gathering {
    /// Nothing yet of the reply to `request`. Reserves memory for the bytes that the request is for.
    pub(crate) fn of(request: Request, framing: Framing, context: Option<ContextId>) -> Self {
        let mut answer = Answer::default();
        if request.kind == command::READ {
            let length = usize::try_from(request.length).unwrap_or(usize::MAX);
            answer.bytes = vec![0; length];
        }
        Self {
            request,
            framing,
            context,
            answer,
            refused: None,
            covered: BTreeMap::new(),
            coming: 0..0,
            done: false,
        }
    }

    /// Takes as much of the reply as has arrived. Returns whether that was the last of it.
    ///
    /// # Errors
    /// The server breaks the protocol, or replies to another request.
    pub(crate) fn take(&mut self, inbox: &mut Inbox) -> Result<bool, ClientError> {
        loop {
            self.take_data(inbox);
            if !self.coming.is_empty() {
                return Ok(false);
            }
            if self.done {
                return Ok(true);
            }
            let request = self.request;
            let asked = |cookie| (cookie == request.cookie).then_some(request);
            let Some(reply) = decode(self.framing, inbox.bytes(), asked)? else {
                return Ok(false);
            };
            inbox.consume(reply.used);
            self.done = reply.done;
            self.note(reply.body)?;
        }
    }

    fn take_data(&mut self, inbox: &mut Inbox) {
        let count = self.coming.len().min(inbox.bytes().len());
        let to = self.coming.start..self.coming.start + count;
        self.answer.bytes[to].copy_from_slice(&inbox.bytes()[..count]);
        inbox.consume(count);
        self.coming.start += count;
    }

    fn note(&mut self, body: Body) -> Result<(), ClientError> {
        match body {
            Body::Nothing => {}
            Body::Data { offset, length } => {
                self.coming = self.cover(offset, length)?;
                self.answer.data_chunks += 1;
            }
            Body::Hole { offset, length } => {
                self.cover(offset, length)?;
                self.answer.hole_chunks += 1;
            }
            Body::BlockStatus {
                context,
                descriptors,
            } => {
                if self.context != Some(context) {
                    return broken("it sent a metadata context that the client didn't select");
                }
                self.check_first()?;
                self.answer.descriptors = descriptors;
            }
            Body::Error { errno, text, .. } => {
                self.check_first()?;
                self.refused = Some(Refused { errno, text });
            }
        }
        Ok(())
    }

    /// A valid reply to a BLOCK_STATUS has one chunk for the context, or an error. This also ends an endless reply.
    fn check_first(&self) -> Result<(), ClientError> {
        let status = self.request.kind == command::BLOCK_STATUS;
        if status && (self.refused.is_some() || !self.answer.descriptors.is_empty()) {
            //= proto.md#structured-reply-types
            //# A successful block status request MUST have exactly one status chunk per negotiated metadata
            //# context ID.
            return broken("it answered one block status request twice");
        }
        Ok(())
    }

    /// Notes which bytes of the request a chunk is for. [`decode`] has checked that they lie within it.
    fn cover(&mut self, offset: u64, length: u32) -> Result<Range<usize>, ClientError> {
        let start = usize::try_from(offset - self.request.offset).unwrap_or(usize::MAX);
        let end = start.saturating_add(length as usize);
        let before = self.covered.range(..end).next_back();
        if before.is_some_and(|(_, covered)| *covered > start) {
            //= proto.md#request-types
            //# A client MAY initiate a hard disconnect if it detects that the server has sent invalid chunks
            //# (such as overlapping data, or not enough data before claiming success).
            return broken("it sent chunks that overlap");
        }
        self.covered.insert(start, end);
        Ok(start..end)
    }

    /// The outcome, once [`take`](Self::take) has returned `true`.
    ///
    /// # Errors
    /// The server claims success without all that the client requested.
    pub(crate) fn finish(self) -> Result<Result<Answer, Refused>, ClientError> {
        if let Some(refused) = self.refused {
            //= proto.md#structured-reply-types
            //# This chunk represents that an error occurred, and the client MAY NOT make any assumptions
            //# about partial success.
            return Ok(Err(refused));
        }
        let covered: usize = self.covered.iter().map(|(start, end)| end - start).sum();
        if covered != self.answer.bytes.len() {
            return broken("it answered a read with gaps");
        }
        if self.request.kind == command::BLOCK_STATUS && self.answer.descriptors.is_empty() {
            return broken("it answered a block status request without extents");
        }
        Ok(Ok(self.answer))
    }
}

fn broken<T>(what: &'static str) -> Result<T, ClientError> {
    Err(nbd_proto::client::ClientError::Protocol(what).into())
}

#[cfg(test)]
mod tests {
    use nbd_proto::Cookie;
    use nbd_proto::wire::{STRUCTURED_REPLY_MAGIC, chunk};

    use super::*;

    const DONE: u16 = chunk::FLAG_DONE;

    fn chunk(flags: u16, kind: u16, payload: &[&[u8]]) -> Vec<u8> {
        let payload = payload.concat();
        let mut bytes = STRUCTURED_REPLY_MAGIC.to_be_bytes().to_vec();
        bytes.extend(flags.to_be_bytes());
        bytes.extend(kind.to_be_bytes());
        bytes.extend(1u64.to_be_bytes());
        bytes.extend(u32::try_from(payload.len()).unwrap().to_be_bytes());
        bytes.extend(payload);
        bytes
    }

    fn data(flags: u16, offset: u64, bytes: &[u8]) -> Vec<u8> {
        chunk(flags, chunk::OFFSET_DATA, &[&offset.to_be_bytes(), bytes])
    }

    fn hole(flags: u16, offset: u64, length: u32) -> Vec<u8> {
        let fields = [&offset.to_be_bytes()[..], &length.to_be_bytes()];
        chunk(flags, chunk::OFFSET_HOLE, &fields)
    }

    fn error(flags: u16) -> Vec<u8> {
        let fields = [&5u32.to_be_bytes()[..], &2u16.to_be_bytes(), b"no"];
        chunk(flags, chunk::ERROR, &fields)
    }

    fn status(flags: u16, context: u32) -> Vec<u8> {
        let fields = [context, 8, 0].map(u32::to_be_bytes);
        chunk(flags, chunk::BLOCK_STATUS, &[&fields.concat()])
    }

    /// What comes of chunks that arrive `step` bytes at a time.
    fn gather(
        request: Request,
        chunks: &[Vec<u8>],
        step: usize,
    ) -> Result<Result<Answer, Refused>, ClientError> {
        let mut inbox = Inbox::new(8);
        let mut gathering = Gathering::of(request, Framing::Structured, Some(ContextId(7)));
        for piece in chunks.concat().chunks(step) {
            for byte in piece {
                inbox.free()[0] = *byte;
                inbox.note(1);
            }
            if gathering.take(&mut inbox)? {
                return gathering.finish();
            }
        }
        panic!("the reply has no end")
    }

    fn read(chunks: &[Vec<u8>]) -> Result<Result<Answer, Refused>, ClientError> {
        gather(Request::read(Cookie(1), 100, 8), chunks, 5)
    }

    fn fails(outcome: Result<Result<Answer, Refused>, ClientError>, why: &str) {
        let error = outcome.expect_err(why).to_string();
        assert!(error.contains(why), "{error}");
    }

    #[test]
    fn chunks_come_in_any_order_and_in_any_pieces() {
        let chunks = [data(0, 103, b"defgh"), hole(DONE, 100, 3)];
        for step in 1..8 {
            let answer = gather(Request::read(Cookie(1), 100, 8), &chunks, step);
            let answer = answer.unwrap().unwrap();
            assert_eq!(answer.bytes, b"\0\0\0defgh");
            assert_eq!((answer.data_chunks, answer.hole_chunks), (1, 1));
        }
    }

    #[test]
    fn an_error_outweighs_what_came_before_it() {
        let refused = read(&[data(0, 100, b"abc"), error(DONE)]).unwrap();
        assert_eq!(refused.unwrap_err().to_string(), "EIO: no");
    }

    #[test]
    fn a_read_is_covered_once() {
        let twice = [data(0, 100, b"abcd"), hole(DONE, 103, 5)];
        fails(read(&twice), "overlap");
        fails(
            read(&[hole(0, 103, 5), data(DONE, 100, b"abcd")]),
            "overlap",
        );
        fails(read(&[hole(DONE, 103, 5)]), "gaps");
    }

    #[test]
    fn a_block_status_is_answered_once_for_the_selected_context() {
        let map = |chunks: &[Vec<u8>]| gather(Request::block_status(Cookie(1), 0, 8), chunks, 5);
        let answer = map(&[status(DONE, 7)]).unwrap().unwrap();
        assert_eq!(answer.descriptors.len(), 1);
        fails(map(&[status(DONE, 8)]), "didn't select");
        fails(map(&[status(0, 7), status(DONE, 7)]), "twice");
        fails(map(&[error(0), error(0)]), "twice");
        fails(map(&[chunk(DONE, chunk::NONE, &[])]), "without extents");
    }
}
