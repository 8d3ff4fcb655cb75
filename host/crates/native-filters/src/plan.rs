//! What a filter decides for a call.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use device::WriteFlags;
use device::fault::Failure;

/// The decision for one call: after `wait`, `then`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) wait: Duration,
    pub(crate) then: Then,
    /// The flags with which a change is passed on.
    pub(crate) flags: WriteFlags,
    /// The ticket by which [`Hook::answered`](crate::hook::Hook::answered) recognises the call.
    pub(crate) ticket: u64,
}

/// How a call goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// It's passed to the layer below.
    Pass,
    /// It's passed to the layer below, which is flushed afterwards.
    PassAndFlush,
    /// It fails.
    Refuse(Failure),
    /// It fails if the file exists, and is passed on otherwise.
    RefuseIf(Arc<PathBuf>, Failure),
    /// It succeeds without effect. For extents, that means that all is data. Not for reads.
    Ignore,
    /// Zeroes are written, even if the layer below can zero by itself.
    WriteZeroes,
    /// The range is read, and the bytes are discarded.
    ReadAway,
}

impl Plan {
    /// The call is passed on with these flags.
    pub(crate) fn pass(flags: WriteFlags) -> Self {
        Self::then(Then::Pass, flags)
    }

    pub(crate) fn then(then: Then, flags: WriteFlags) -> Self {
        Self {
            wait: Duration::ZERO,
            then,
            flags,
            ticket: 0,
        }
    }
}
