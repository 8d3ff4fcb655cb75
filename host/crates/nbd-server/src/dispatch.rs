//! Carries out a request: calls the device and encodes its answer.
//!
//! Only this module knows both the wire and the device, and it doesn't know what either is made of. Every
//! request gets a reply.

use std::io::IoSlice;
use std::ops::Range;
use std::time::{Duration, Instant};

use bytes::Bytes;
use device::fault::Failure;
use device::metrics::{Metrics, Operation, Outcome};
use device::origin::Origin;
use device::reply::{Piece, ReadReply};
use device::{Deadline, Device, Served, Terms, pace};
use extent_map::{Descriptor as MapDescriptor, ExtentMap, Wanted, Width, Wire};
use nbd_proto::limits::MAX_DESCRIPTORS;
use nbd_proto::{
    Command, ContextId, Descriptor, Errno, Framing, Head, Incoming, Refusal, Session, StateFlags,
    reply,
};

/// A request with its payload and its connection's metadata context.
#[derive(Debug)]
pub(crate) struct Request {
    /// The parsed and checked header.
    pub incoming: Incoming,
    /// The bytes of a write, or none.
    pub payload: Bytes,
    /// The id of `base:allocation`, if the client selected it. Only block status uses it.
    pub allocation: Option<ContextId>,
}

/// A reply: parts of encoded frames and parts of a body in turn. The body is never copied.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    frames: Vec<u8>,
    /// Boxed, because it moves from function to function. `None` after a read that failed, which loses it.
    body: Option<Box<ReadReply>>,
    /// The ends of each part of `frames` and of the part of `body` after it, in bytes.
    parts: Vec<(usize, usize)>,
    /// For block status; kept for its memory, as `body` is.
    extents: Option<Box<ExtentMap>>,
    descriptors: Vec<MapDescriptor>,
}

impl Reply {
    /// Empties the reply for another request, and keeps its memory.
    pub(crate) fn reset(&mut self) {
        self.frames.clear();
        self.parts.clear();
    }

    /// Bytes of memory that the reply holds, without some small parts.
    #[must_use]
    pub(crate) fn capacity(&self) -> usize {
        let body = self.body.as_ref().map_or(0, |body| body.capacity());
        let extents = self.extents.as_ref().map_or(0, |map| map.capacity());
        let descriptors = self.descriptors.capacity() * size_of::<MapDescriptor>();
        self.frames.capacity() + body + extents + descriptors
    }

    /// Bytes to send, of frames and body.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.frames.len() + self.parts.last().map_or(0, |(_, body)| *body)
    }

    /// An empty reply that holds memory, for tests.
    #[cfg(test)]
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self {
            frames: Vec::with_capacity(bytes),
            ..Self::default()
        }
    }

    /// Puts the slices to send, without the first `skip` bytes, into `out` until it is full. Returns their
    /// number.
    pub(crate) fn slices<'a>(&'a self, skip: usize, out: &mut [IoSlice<'a>]) -> usize {
        let (mut skip, mut filled) = (skip, 0);
        let bytes = self.body.as_ref().map_or(&[][..], |body| body.bytes());
        let (mut frame, mut body) = (0, 0);
        let rest = (
            self.frames.len(),
            self.parts.last().map_or(0, |(_, body)| *body),
        );
        for &(frame_end, body_end) in self.parts.iter().chain([&rest]) {
            let pair = [&self.frames[frame..frame_end], &bytes[body..body_end]];
            for slice in pair {
                let cut = skip.min(slice.len());
                skip -= cut;
                if cut < slice.len() {
                    let Some(place) = out.get_mut(filled) else {
                        return filled;
                    };
                    *place = IoSlice::new(&slice[cut..]);
                    filled += 1;
                }
            }
            (frame, body) = (frame_end, body_end);
        }
        filled
    }

    fn ok(&mut self, head: Head) {
        reply::ok(head, &mut self.frames);
    }

    fn error(&mut self, head: Head, errno: Errno, text: &str) {
        //= proto.md#structured-reply-types
        //# This type SHOULD NOT be used more than once in a structured reply.
        //= proto.md#request-types
        //# SHOULD be the only error chunk in the reply.
        self.frames.clear();
        //= proto.md#request-types
        //# If it chooses not to, it MUST NOT send any payload for this request.
        self.parts.clear();
        //= proto.md#request-types
        //# The server MUST include an error chunk as one of the subsequent chunks, but MAY defer the error
        //# reporting behind other queued chunks.
        reply::error(head, errno, text, &mut self.frames);
    }

    /// Encodes the reply to a request that failed.
    fn fail(&mut self, head: Head, command: &Command, failure: &Failure) {
        //= proto.md#request-types
        //# the server SHOULD set the appropriate error code in the error field.
        self.error(head, failure.errno.permitted_for(command), &failure.text);
    }

    /// Encodes the reply to a read that succeeded, in chunks if the framing has them.
    fn read(&mut self, head: Head, offset: u64, dont_fragment: bool, mut body: Box<ReadReply>) {
        //= proto.md#structured-reply-types
        //# This chunk MAY be used more than once in a reply, unless the `NBD_CMD_FLAG_DF` flag was set.
        //= proto.md#request-types
        //# a read request MUST always be answered by a simple reply
        if dont_fragment || !head.framing.has_chunks() {
            //= proto.md#request-types
            //# the server MUST send at most one content chunk
            //= proto.md#request-types
            //# If the area being read contains both data and a hole, the server MUST use
            //# `NBD_REPLY_TYPE_OFFSET_DATA` with the zeroes explicitly present.
            body.flatten();
        }
        //= proto.md#structured-reply-types
        //# The data MUST lie within the bounds of the original offset and length of the client's request, and
        //# MUST NOT overlap with the bounds of any earlier content chunk
        let (mut offset, mut body_end) = (offset, 0);
        let count = body.pieces().len();
        //= proto.md#structured-reply-chunk-message
        //# A structured reply MAY occupy multiple structured chunk messages
        //= proto.md#request-types
        //# each chunk MUST describe at least one byte
        for (index, piece) in body.pieces().iter().enumerate() {
            //= proto.md#structured-reply-chunk-message
            //# the chunk with the flag `NBD_REPLY_FLAG_DONE` MUST be sent last.
            //= proto.md#structured-reply-flags
            //# the server MUST clear this bit if more structured reply chunks will be sent for the same client
            //# request, and MUST set this bit if this is the final reply.
            //= proto.md#request-types
            //# the server MAY use a content or error chunk as the final chunk by setting the
            //# `NBD_REPLY_FLAG_DONE` flag
            let done = index + 1 == count;
            match *piece {
                //= proto.md#structured-reply-types
                //# *length* MUST be at least 9.
                Piece::Data(length) => {
                    reply::data_header(head, offset, length, done, &mut self.frames);
                    body_end += length as usize;
                    self.parts.push((self.frames.len(), body_end));
                    //= proto.md#request-types
                    //# The server MUST NOT send content chunks that overlap with any earlier content or error
                    //# chunk, and MUST NOT send chunks that describe data outside the offset and length of the
                    //# request
                    offset += u64::from(length);
                }
                //= proto.md#structured-reply-types
                //# The hole MUST lie within the bounds of the original offset and length of the client's
                //# request, and MUST NOT overlap with the bounds of any earlier content chunk
                Piece::Zeroes(length) => {
                    let hole = reply::hole(head, offset, length, done, &mut self.frames);
                    debug_assert!(
                        hole.is_ok(),
                        "the framing has chunks, and no piece is empty"
                    );
                    offset += u64::from(length);
                }
            }
        }
        //= proto.md#request-types
        //# When no error is detected, the server MUST send enough data chunks to cover the entire region
        //# described by the offset and length of the client's request.
        self.body = Some(body);
    }
}

/// Carries out a request, and returns its whole reply in `reply`, which must be empty. Waits for the rates
/// and the device. Dropping the future gives the request up, done or not.
pub(crate) async fn answer<D: Device>(
    served: &Served<D>,
    deadline: &Deadline,
    request: Request,
    mut reply: Reply,
) -> Reply {
    let Incoming { head, command, .. } = request.incoming;
    let Some(operation) = operation(&command) else {
        match command {
            Command::Refused(refusal) => refuse(served, head, refusal, &mut reply),
            // `Command::Nothing`. A disconnect has no reply, and the connection doesn't pass it here.
            _ => reply.ok(head),
        }
        return reply;
    };
    let start = deadline.begun();
    let paced = pace::hold_up(served.terms(), served.metrics(), deadline, moved(&command));
    if let Some(paced) = paced {
        // Boxed, so that the future of a request without rates is smaller.
        let paced = Box::pin(paced).await;
        if let Err(failure) = &paced {
            served.ended(operation, start, &paced);
            reply.fail(head, &command, failure);
            return reply;
        }
    }
    carry_out(served, start, deadline, request, reply).await
}

/// The device's operation for a command; `None` if the device has nothing to do.
fn operation(command: &Command) -> Option<Operation> {
    Some(match command {
        Command::Read { .. } => Operation::Read,
        Command::Write { .. } => Operation::Write,
        Command::Flush => Operation::Flush,
        Command::Trim { .. } => Operation::Trim,
        Command::WriteZeroes { .. } => Operation::Zero,
        Command::Cache { .. } => Operation::Cache,
        Command::BlockStatus { .. } => Operation::BlockStatus,
        Command::Refused(_) | Command::Nothing | Command::Disconnect => return None,
    })
}

/// Calls the device, and encodes its answer.
async fn carry_out<D: Device>(
    served: &Served<D>,
    since: Instant,
    deadline: &Deadline,
    request: Request,
    mut reply: Reply,
) -> Reply {
    let Incoming { head, command, .. } = request.incoming;
    let done = match command {
        Command::Read {
            offset,
            length,
            dont_fragment,
        } => {
            let mut body = reply.body.take().unwrap_or_default();
            body.reset(length);
            match served.read(since, deadline, offset, length, body).await {
                //= proto.md#structured-reply-chunk-message
                //# MUST NOT mark a chunk as final if there is still a possibility of detecting an error before
                //# transmission of that chunk completes.
                Ok(body) => {
                    reply.read(head, offset, dont_fragment, body);
                    return reply;
                }
                Err(failure) => Err(failure),
            }
        }
        Command::BlockStatus {
            offset,
            length,
            one,
        } => {
            let range = offset..offset + length;
            match block_status(served, since, deadline, &request, range, one, &mut reply).await {
                Ok(()) => return reply,
                //= proto.md#request-types
                //# If an error occurs, the server SHOULD set the appropriate error code in the error field of
                //# an error chunk.
                Err(failure) => Err(failure),
            }
        }
        //= proto.md#ordering-of-messages-and-writes
        //# A server MUST NOT reply to a command that has `NBD_CMD_FLAG_FUA` set in its command flags until the
        //# data (if any) written by that command is persisted to non-volatile storage.
        //= proto.md#request-types
        //# The server MUST write the data to disk, and then send the reply message.
        Command::Write { offset, flags, .. } => {
            served
                .write(since, deadline, offset, request.payload, flags)
                .await
        }
        //= proto.md#ordering-of-messages-and-writes
        //# All write commands (that includes `NBD_CMD_WRITE`, `NBD_CMD_WRITE_ZEROES` and `NBD_CMD_TRIM`) that
        //# the server completes (i.e. replies to) prior to processing a `NBD_CMD_FLUSH` MUST be written to
        //# non-volatile storage prior to replying to that `NBD_CMD_FLUSH`.
        //= proto.md#request-types
        //# The server MUST NOT send a successful reply header for this request before all write requests for
        //# which a reply has already been sent to the client have reached permanent storage
        Command::Flush => served.flush(since, deadline).await,
        //= proto.md#request-types
        //# A server MAY discard *length* bytes starting at offset, but is not required to
        Command::Trim {
            offset,
            length,
            flags,
        } => served.trim(since, deadline, offset, length, flags).await,
        //= proto.md#command-flags
        //# If set, but the server cannot perform the write zeroes any faster than it would for an equivalent
        //# `NBD_CMD_WRITE`, then the server MUST fail quickly with an error of `NBD_ENOTSUP`.
        //= proto.md#request-types
        //# The server MUST zero out the data on disk, and then send the reply message.
        Command::WriteZeroes {
            offset,
            length,
            flags,
        } => served.zero(since, deadline, offset, length, flags).await,
        //= proto.md#request-types
        //# The server MAY use this information to speed up further access to that area
        Command::Cache { offset, length } => served.cache(since, deadline, offset, length).await,
        // `answer` has replied to these.
        Command::Refused(_) | Command::Nothing | Command::Disconnect => Ok(()),
    };
    match done {
        Ok(()) => reply.ok(head),
        //= proto.md#request-types
        //# If an error occurs, the server MUST set the appropriate error code in the error field.
        Err(failure) => reply.fail(head, &command, &failure),
    }
    reply
}

/// Bytes that count towards the rates: those of reads and writes.
fn moved(command: &Command) -> u64 {
    match *command {
        Command::Read { length, .. } | Command::Write { length, .. } => length.into(),
        _ => 0,
    }
}

/// Replies with the error of an invalid request, which the device doesn't get.
fn refuse<D: Device>(served: &Served<D>, head: Head, refusal: Refusal, reply: &mut Reply) {
    served.metrics().refused.one();
    let (terms, request) = (served.terms(), Origin::field());
    let (tenant, export) = (terms.tenant(), &terms.export.name);
    tracing::debug!(target: "nbdbox::dispatch", tenant, export, request, "refused: {refusal}");
    reply.error(head, refusal.errno, refusal.text);
}

/// Asks the device for extents, and encodes them.
async fn block_status<D: Device>(
    served: &Served<D>,
    since: Instant,
    deadline: &Deadline,
    request: &Request,
    range: Range<u64>,
    one: bool,
    reply: &mut Reply,
) -> Result<(), Failure> {
    let Terms { export, limits, .. } = &**served.terms();
    let length = range.end - range.start;
    let blocks = length.div_ceil(u64::from(export.enforced().minimum()));
    let most = usize::try_from(blocks)
        .unwrap_or(usize::MAX)
        .min(limits.extents);
    let wanted = if one { Wanted::One } else { Wanted::All };
    let map = match reply.extents.take() {
        Some(mut map) => map.reset(range, wanted, most).map(|()| map),
        None => ExtentMap::new(range, wanted, most).map(Box::new),
    };
    // This can't fail: the parser rejects empty requests.
    let map =
        map.map_err(|_| Failure::host(Errno::Eio, "the host could not describe the range"))?;
    let mut map = served.extents(since, deadline, map).await?;
    let head = request.incoming.head;
    let wire = Wire {
        //= proto.md#request-types
        //# The server MUST use descriptor lengths that are an integer multiple of any advertised minimum block
        //# size.
        min_block: export.enforced().minimum(),
        //= proto.md#structured-reply-types
        //# the server MAY return fewer descriptors in the reply than would be required to fully specify the
        //# whole range of requested information to the client
        max_descriptors: most.min(MAX_DESCRIPTORS),
        width: match head.framing {
            Framing::Extended => Width::Wide64,
            Framing::Simple | Framing::Structured => Width::Compact32,
        },
    };
    wire.describe(&map, &mut reply.descriptors);
    map.clear();
    reply.extents = Some(map);
    // The parser rejects block status without a context, so there is an id.
    let context = request.allocation.unwrap_or(ContextId(0));
    let pieces = reply.descriptors.iter().map(descriptor);
    //= proto.md#structured-reply-types
    //# A successful block status request MUST have exactly one status chunk per negotiated metadata context ID.
    //= proto.md#request-types
    //# the server MUST use a structured reply, containing exactly one chunk of type
    //# `NBD_REPLY_TYPE_BLOCK_STATUS` per selected context id
    reply::block_status(head, context, length, one, pieces, &mut reply.frames)
        .map_err(|_| Failure::host(Errno::Eio, "the host could not encode the extents"))
}

fn descriptor(from: &MapDescriptor) -> Descriptor {
    Descriptor {
        length: from.length,
        //= proto.md#baseallocation-metadata-context
        //# For the `base:allocation` context, the remainder of the flags field is reserved. Servers SHOULD set
        //# it to all-zero
        flags: StateFlags::from_bits_truncate(from.flags),
    }
}

/// Replies with ESHUTDOWN to a request that came too late, and counts it.
#[must_use]
pub(crate) fn shutting_down(metrics: &Metrics, request: &Request, mut reply: Reply) -> Reply {
    //= proto.md#terminating-the-transmission-phase
    //# The error value issued in respect of these requests and any subsequently received requests SHOULD be
    //# `NBD_ESHUTDOWN`.
    let failure = Failure::shutdown();
    if let Some(operation) = operation(&request.incoming.command) {
        let outcome = Outcome::from(&failure);
        metrics.operations.note(operation, outcome, Duration::ZERO);
    }
    reply.error(request.incoming.head, failure.errno, &failure.text);
    reply
}

/// Bytes of payload that a request or its reply will hold while it is under way.
#[must_use]
pub(crate) fn weight(session: &Session, incoming: &Incoming) -> u64 {
    match incoming.command {
        Command::Read { length, .. } => length.into(),
        Command::Write { .. } => incoming.payload_len.into(),
        Command::BlockStatus { length, .. } => {
            let blocks = length.div_ceil(u64::from(session.block().minimum()));
            blocks.saturating_mul(16).min(1 << 20)
        }
        _ => 0,
    }
}
