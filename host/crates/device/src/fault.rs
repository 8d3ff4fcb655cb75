//! Why a request failed, and whose fault that was.
//!
//! Three parties can be at fault, and they are never mixed: the client (`nbd-proto` finds that before anything runs),
//! the plugin, the host. If a plugin answers an errno, nobody is at fault.

use std::borrow::Cow;

use nbd_proto::Errno;

/// A request that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The errno for the client.
    pub errno: Errno,
    /// The text for the client, if its protocol has room for one. It never contains anything about the host.
    pub text: Cow<'static, str>,
    /// Whose fault it is: decides the log line and the counter.
    pub fault: Fault,
}

/// Whose fault a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nobody is at fault: the plugin answered an error, which it may.
    Answer,
    /// The plugin broke its contract or its limits.
    Plugin(Cause),
    /// The layer below failed, and has logged and counted that itself.
    Below,
    /// The host could not do its part: a disk error, a file that shrank. The operator gets a log line.
    Host,
    /// Nobody is at fault: the request would have waited for its tenant's or export's share longer than it may take.
    Share,
    /// Nobody is at fault: the client hung up, so the host gave the request up.
    HungUp,
    /// Nobody is at fault now: confirmed changes are lost. The fault was attributed when that happened.
    Lost,
    /// The server is going down.
    Shutdown,
}

/// How a plugin broke its contract or its limits. Each cause has a counter of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The guest trapped: an abort, an out-of-bounds access, a stack overflow.
    Trap,
    /// A call used more CPU time than it may.
    CpuTime,
    /// A request took more wall time than it may.
    WallTime,
    /// The guest needed more memory than it may have, at a point where the host could not deny it gracefully.
    Memory,
    /// A call exceeded one of its budgets: extents, pieces, handles, bytes handed over.
    Budget,
    /// The guest violated the canonical ABI: a bad pointer, a kept or forged handle, invalid UTF-8.
    Abi,
    /// A read reply was shorter or longer than the request.
    Reply,
    /// A range outside a blob or payload, or a blob that wasn't granted for this.
    Range,
    /// A new instance described another disk than the first one: size, block sizes, mode.
    Changed,
    /// The export has failed for good: its only instance, which held the data, was stopped earlier.
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

    /// The name in log lines and metrics.
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
    /// The plugin answered `errno`, possibly with a text.
    #[must_use]
    pub fn answer(errno: Errno, text: Option<String>) -> Self {
        let text = text.map_or(Cow::Borrowed(""), Cow::Owned);
        Self {
            errno,
            text,
            fault: Fault::Answer,
        }
    }

    /// The plugin is at fault; the client gets EIO.
    #[must_use]
    pub fn plugin(cause: Cause, text: &'static str) -> Self {
        Self {
            errno: Errno::Eio,
            text: text.into(),
            fault: Fault::Plugin(cause),
        }
    }

    /// The host is at fault; the client gets `errno`.
    #[must_use]
    pub fn host(errno: Errno, text: &'static str) -> Self {
        Self {
            errno,
            text: text.into(),
            fault: Fault::Host,
        }
    }

    /// The request would wait for its share longer than it may take; the client gets EIO.
    #[must_use]
    pub fn share(text: &'static str) -> Self {
        Self {
            errno: Errno::Eio,
            text: text.into(),
            fault: Fault::Share,
        }
    }

    /// The client has gone, so nobody receives the reply.
    #[must_use]
    pub fn hung_up() -> Self {
        Self {
            errno: Errno::Eshutdown,
            text: "the client has hung up".into(),
            fault: Fault::HungUp,
        }
    }

    /// Confirmed changes are lost; the client gets EIO.
    #[must_use]
    pub fn lost() -> Self {
        Self {
            errno: Errno::Eio,
            text: "changes that the server confirmed earlier are lost".into(),
            fault: Fault::Lost,
        }
    }

    /// Whether the host gave the request up: it was over its share, its client hung up, or the server is going down.
    /// Then the device did nothing, or nothing more, and lost nothing.
    #[must_use]
    pub fn was_given_up(&self) -> bool {
        matches!(self.fault, Fault::Share | Fault::HungUp | Fault::Shutdown)
    }

    /// This failure as the layer above reports it: [`Fault::Below`], because the layer where it happened has counted
    /// it. A hang-up and a shutdown stay what they are.
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
