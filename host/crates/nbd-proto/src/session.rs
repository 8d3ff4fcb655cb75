//! The agreements of a handshake: the framing, the metadata context, the export.

use crate::{BlockSizes, Export, ExportFlags, limits};

/// A client's identifier of one of its requests: 64 opaque bits, which the server's replies repeat.
///
/// The specification's "cookie", formerly "handle".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cookie(pub u64);

/// The server's number for a metadata context. Each block status chunk has the number of its context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ContextId(pub u32);

/// The form of requests and replies, agreed in the handshake. Each form can express all that the ones
/// before it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Framing {
    /// Requests of 28 bytes; replies of 16 bytes, followed by the data of a READ.
    Simple,
    /// Requests of 28 bytes; replies in chunks with headers of 20 bytes.
    Structured,
    /// Requests of 32 bytes with 64-bit lengths; replies in chunks with headers of 32 bytes.
    Extended,
}

impl Framing {
    /// Whether replies come in chunks. Holes, error texts and block status need chunks.
    #[must_use]
    pub const fn has_chunks(self) -> bool {
        !matches!(self, Self::Simple)
    }
}

/// A connection in the transmission phase. A [`Handshake`](crate::Handshake) makes it; it parses requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    framing: Framing,
    allocation: Option<ContextId>,
    export: Export,
    /// Whether the client requested the block sizes.
    knows_block_sizes: bool,
}

impl Session {
    /// Makes the session of a client that requested the block sizes.
    ///
    /// It corrects contradictions: the flags become those that the agreements allow, block sizes are cut
    /// to [`limits::MAX_PAYLOAD`], and `allocation` becomes `None` without chunks, or if the export doesn't
    /// offer the context.
    #[must_use]
    pub fn new(framing: Framing, allocation: Option<ContextId>, mut export: Export) -> Self {
        //= proto.md#metadata-querying
        //# The reply to the `NBD_CMD_BLOCK_STATUS` request MUST be sent as a structured reply; this implies
        //# that in order to use metadata querying, structured replies MUST be negotiated first.
        let allocation = allocation.filter(|_| framing.has_chunks() && export.allocation);
        export.flags = advertised(export.flags, framing, allocation);
        export.block = export.block.cut_to(limits::MAX_PAYLOAD);
        export.enforced = export
            .enforced
            .map(|block| block.cut_to(limits::MAX_PAYLOAD));
        Self {
            framing,
            allocation,
            export,
            knows_block_sizes: true,
        }
    }

    /// The session of a client that didn't request the block sizes. The export's maximum doesn't bind this client: its
    /// payloads may have up to [`limits::MAX_PAYLOAD`] bytes.
    #[must_use]
    pub fn without_block_sizes(self) -> Self {
        Self {
            knows_block_sizes: false,
            ..self
        }
    }

    /// The longest payload of a READ or WRITE, in bytes.
    pub(crate) const fn longest(&self) -> u32 {
        if self.knows_block_sizes {
            self.export.enforced().maximum()
        } else {
            //= proto.md#size-constraints
            //# a server SHOULD support a default minimum block size of 1, a preferred block size of 2^12
            //# (4,096), and a maximum payload size that is at least 2^25 (33,554,432)
            limits::MAX_PAYLOAD
        }
    }

    /// The form of requests and replies.
    #[must_use]
    pub const fn framing(&self) -> Framing {
        self.framing
    }

    /// The id of `base:allocation`, if the client selected it.
    #[must_use]
    pub const fn allocation(&self) -> Option<ContextId> {
        self.allocation
    }

    /// The export, with the flags and block sizes that the server advertised.
    #[must_use]
    pub const fn export(&self) -> &Export {
        &self.export
    }

    /// The block sizes that the server advertised.
    #[must_use]
    pub const fn block(&self) -> BlockSizes {
        self.export.block
    }
}

/// The transmission flags that the agreements allow (section "Transmission flags").
fn advertised(
    mut flags: ExportFlags,
    framing: Framing,
    allocation: Option<ContextId>,
) -> ExportFlags {
    // "bit 0, NBD_FLAG_HAS_FLAGS: MUST always be 1."
    //= proto.md#transmission-flags
    //# bit 0, `NBD_FLAG_HAS_FLAGS`: MUST always be 1.
    flags.insert(ExportFlags::HAS_FLAGS);
    // SEND_DF: "MUST leave this flag clear if structured replies have not been negotiated."
    //= proto.md#transmission-flags
    //# The server MUST set this transmission flag to 1 if the `NBD_CMD_READ` request supports the
    //# `NBD_CMD_FLAG_DF` flag, and MUST leave this flag clear if structured replies have not been negotiated.
    flags.set(ExportFlags::SEND_DF, framing.has_chunks());
    //= proto.md#transmission-flags
    //# Servers MUST NOT advertise this bit unless the client successfully negotiates extended headers via
    //# `NBD_OPT_EXTENDED_HEADERS`, and SHOULD NOT advertise this bit in response to `NBD_OPT_EXPORT_NAME` or
    //# `NBD_OPT_GO` if the client does not negotiate metacontexts with `NBD_OPT_SET_META_CONTEXT`
    let filter = framing == Framing::Extended && allocation.is_some();
    //= proto.md#option-types
    //# SHOULD NOT advertise those extensions until the client negotiates structured replies
    //= proto.md#option-types
    //# SHOULD NOT advertise those extensions until the client has negotiated extended headers
    //= proto.md#request-types
    //# a server MAY optionally advertise, via the transmission flag `NBD_FLAG_BLOCK_STATUS_PAYLOAD`
    flags.set(ExportFlags::BLOCK_STATUS_PAYLOAD, filter);
    if flags.contains(ExportFlags::READ_ONLY) {
        flags.remove(ExportFlags::SEND_TRIM | ExportFlags::SEND_WRITE_ZEROES);
    }
    // SEND_FAST_ZERO: "MUST set this transmission flag to 0 if NBD_FLAG_SEND_WRITE_ZEROES is not
    // set."
    //= proto.md#transmission-flags
    //# The server MUST set this transmission flag to 1 if the `NBD_CMD_WRITE_ZEROES` request supports the
    //# `NBD_CMD_FLAG_FAST_ZERO` flag, and MUST set this transmission flag to 0 if `NBD_FLAG_SEND_WRITE_ZEROES`
    //# is not set.
    if !flags.contains(ExportFlags::SEND_WRITE_ZEROES) {
        flags.remove(ExportFlags::SEND_FAST_ZERO);
    }
    //= proto.md#transmission-flags
    //# The server MUST NOT set the flag for features it does not support.
    flags & ExportFlags::all()
}
