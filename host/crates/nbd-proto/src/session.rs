//! What was agreed in the handshake: the framing, the metadata context, the export.

use crate::{BlockSizes, Export, ExportFlags, limits};

/// A client's name for one of its requests: 64 opaque bits that are echoed verbatim.
///
/// The specification's "cookie", formerly "handle".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cookie(pub u64);

/// The number that a block status chunk bears to say which metadata context it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ContextId(pub u32);

/// The form of requests and replies, agreed in the handshake. Each is a superset of the ones
/// before.
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
    /// Whether replies come in chunks: holes, error texts and block status need it.
    #[must_use]
    pub const fn has_chunks(self) -> bool {
        !matches!(self, Self::Simple)
    }
}

/// A connection in the transmission phase. Made by the handshake; parses requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    framing: Framing,
    allocation: Option<ContextId>,
    export: Export,
    /// Whether the client asked for block sizes.
    knows_block_sizes: bool,
}

impl Session {
    /// A session as a handshake makes it; also the way for tests to make one.
    ///
    /// What can't be true is put right: the flags become what these agreements allow, block sizes
    /// are cut to [`limits::MAX_PAYLOAD`], and `allocation` is dropped without chunks or when the
    /// export doesn't offer it.
    #[must_use]
    pub fn new(framing: Framing, allocation: Option<ContextId>, mut export: Export) -> Self {
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

    /// The session of a client that didn't ask for block sizes. The largest one doesn't bind it: it may send what
    /// every client may, requests of up to [`limits::MAX_PAYLOAD`].
    #[must_use]
    pub fn without_block_sizes(self) -> Self {
        Self {
            knows_block_sizes: false,
            ..self
        }
    }

    /// Bytes that a READ or WRITE may have at most.
    pub(crate) const fn longest(&self) -> u32 {
        if self.knows_block_sizes {
            self.export.enforced().maximum()
        } else {
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

    /// The export, with the flags and block sizes as they were advertised.
    #[must_use]
    pub const fn export(&self) -> &Export {
        &self.export
    }

    /// The block sizes as they were advertised.
    #[must_use]
    pub const fn block(&self) -> BlockSizes {
        self.export.block
    }
}

/// The transmission flags for what was agreed (section "Transmission flags").
fn advertised(
    mut flags: ExportFlags,
    framing: Framing,
    allocation: Option<ContextId>,
) -> ExportFlags {
    // "bit 0, NBD_FLAG_HAS_FLAGS: MUST always be 1."
    flags.insert(ExportFlags::HAS_FLAGS);
    // SEND_DF: "MUST leave this flag clear if structured replies have not been negotiated."
    flags.set(ExportFlags::SEND_DF, framing.has_chunks());
    let filter = framing == Framing::Extended && allocation.is_some();
    flags.set(ExportFlags::BLOCK_STATUS_PAYLOAD, filter);
    if flags.contains(ExportFlags::READ_ONLY) {
        flags.remove(ExportFlags::SEND_TRIM | ExportFlags::SEND_WRITE_ZEROES);
    }
    // SEND_FAST_ZERO: "MUST set this transmission flag to 0 if NBD_FLAG_SEND_WRITE_ZEROES is not
    // set."
    if !flags.contains(ExportFlags::SEND_WRITE_ZEROES) {
        flags.remove(ExportFlags::SEND_FAST_ZERO);
    }
    flags & ExportFlags::all()
}
