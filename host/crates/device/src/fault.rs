//! Why a request failed, and whose fault that was.
//!
//! Three parties can be at fault, and they are never mixed: the client (found by `nbd-proto` before
//! anything runs), the plugin, the host. A plugin that answers an errno is nobody's fault.

use std::borrow::Cow;

use nbd_proto::Errno;

/// A request that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What the client gets.
    pub errno: Errno,
    /// The words that go with it, where the client can take any. Holds nothing of the host's own.
    pub text: Cow<'static, str>,
    /// Who is told.
    pub fault: Fault,
}

/// Whose fault a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nobody's: the plugin answered an error, as is its right.
    Answer,
    /// The plugin broke its contract or its limits.
    Plugin(Cause),
    /// The layer below failed: that was told, and counted, where it happened.
    Below,
    /// The host could not do its part: a disk error, a file that shrank. The operator is told.
    Host,
    /// Nobody's: its tenant's or export's share would have kept it waiting for too long.
    Share,
    /// Nobody's: the client has gone, so the work for it was given up.
    HungUp,
    /// Nobody's now: changes that were answered are lost, and whoever was at fault was told when that happened.
    Lost,
    /// The server is going down.
    Shutdown,
}

/// How a plugin broke its contract or its limits. Each cause has a counter of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The guest trapped: an abort, an out-of-bounds access, a stack overflow.
    Trap,
    /// Past the CPU time of one call.
    CpuTime,
    /// Past the wall time of one call.
    WallTime,
    /// More memory than granted, where it could not be refused politely.
    Memory,
    /// A call past the budget: extents, pieces, handles, bytes handed over.
    Budget,
    /// The canonical ABI was broken: a bad pointer, a kept or forged handle, invalid UTF-8.
    Abi,
    /// A read reply shorter or longer than the request.
    Reply,
    /// A range outside a blob or payload, or a blob that wasn't granted so.
    Range,
    /// Another answer than at the first open: size, block sizes, mode.
    Changed,
    /// The export is lost: its only instance held the data and was stopped earlier.
    Lost,
}

impl Cause {
    /// All causes, in the order of their counters.
    pub const ALL: [Self; 10] = [
        Self::Trap,
        Self::CpuTime,
        Self::WallTime,
        Self::Memory,
        Self::Budget,
        Self::Abi,
        Self::Reply,
        Self::Range,
        Self::Changed,
        Self::Lost,
    ];

    /// The word for logs and counters.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::CpuTime => "cpu-time",
            Self::WallTime => "wall-time",
            Self::Memory => "memory",
            Self::Budget => "budget",
            Self::Abi => "abi",
            Self::Reply => "reply",
            Self::Range => "range",
            Self::Changed => "changed",
            Self::Lost => "lost",
        }
    }
}

impl Failure {
    /// The plugin answered `errno`, maybe with words.
    #[must_use]
    pub fn answer(errno: Errno, text: Option<String>) -> Self {
        let text = text.map_or(Cow::Borrowed(""), Cow::Owned);
        Self {
            errno,
            text,
            fault: Fault::Answer,
        }
    }

    /// The plugin's fault: EIO.
    #[must_use]
    pub fn plugin(cause: Cause, text: &'static str) -> Self {
        Self {
            errno: Errno::Eio,
            text: text.into(),
            fault: Fault::Plugin(cause),
        }
    }

    /// The host's fault.
    #[must_use]
    pub fn host(errno: Errno, text: &'static str) -> Self {
        Self {
            errno,
            text: text.into(),
            fault: Fault::Host,
        }
    }

    /// Past its wall time in the queue, for the sake of its tenant's share: EIO.
    #[must_use]
    pub fn share(text: &'static str) -> Self {
        Self {
            errno: Errno::Eio,
            text: text.into(),
            fault: Fault::Share,
        }
    }

    /// The client has gone, so nobody waits for the answer.
    #[must_use]
    pub fn hung_up() -> Self {
        Self {
            errno: Errno::Eshutdown,
            text: "the client has hung up".into(),
            fault: Fault::HungUp,
        }
    }

    /// Changes that were answered before are lost: EIO.
    #[must_use]
    pub fn lost() -> Self {
        Self {
            errno: Errno::Eio,
            text: "changes that were answered before are lost".into(),
            fault: Fault::Lost,
        }
    }

    /// Whether nothing was tried, or nothing more, since nobody wants it now: what it was about is as it was.
    #[must_use]
    pub fn was_given_up(&self) -> bool {
        matches!(self.fault, Fault::Share | Fault::HungUp | Fault::Shutdown)
    }

    /// A failure of the layer below, as it's told above: where it happened it was counted.
    #[must_use]
    pub fn told_below(self) -> Self {
        let fault = match self.fault {
            Fault::Shutdown => Fault::Shutdown,
            Fault::HungUp => Fault::HungUp,
            _ => Fault::Below,
        };
        Self { fault, ..self }
    }

    /// The server is going down.
    #[must_use]
    pub fn shutdown() -> Self {
        let text = "the server is shutting down".into();
        Self {
            errno: Errno::Eshutdown,
            text,
            fault: Fault::Shutdown,
        }
    }
}
