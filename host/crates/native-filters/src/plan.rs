//! What a filter wants to become of a call.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use device::WriteFlags;
use device::fault::Failure;

/// What becomes of one call: after `wait`, `then`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) wait: Duration,
    pub(crate) then: Then,
    /// The flags with which a change goes on.
    pub(crate) flags: WriteFlags,
    /// What [`Hook::answered`](crate::hook::Hook::answered) knows the call by.
    pub(crate) ticket: u64,
}

/// The end of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// It goes to the layer below.
    Pass,
    /// It goes to the layer below, and when it's done, what was changed is flushed.
    PassAndFlush,
    /// It fails.
    Refuse(Failure),
    /// It fails if there is such a file, and otherwise goes on.
    RefuseIf(Arc<PathBuf>, Failure),
    /// It's answered as if it had been done. Of extents nothing is said, so that all is data. Not for reads.
    Ignore,
    /// Zeroes are written, though the layer below may zero by itself.
    WriteZeroes,
    /// The range is read and forgotten.
    ReadAway,
}

impl Plan {
    /// The call goes on with these flags.
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
