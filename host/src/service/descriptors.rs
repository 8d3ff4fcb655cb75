//! The descriptors that the process may open, and the number that it can need.

use nbd_server::STRANGERS;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The descriptors other than clients' sockets and granted files: the runtime, pipes to compilers, the cache's folder,
/// the admin listener and its clients.
const OWN: usize = 128;

/// The descriptors that a configuration can need.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Demand {
    /// Listeners, each with its strangers.
    pub(crate) listeners: usize,
    /// Connections that have chosen an export.
    pub(crate) connections: usize,
    /// Grants of files.
    pub(crate) files: usize,
}

/// Raises the soft limit to the hard one. The soft limit is low by default for programs that use select(2), which
/// nbdbox doesn't.
pub(super) fn raise() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    // If the kernel refuses, the limit stays, and `Demand::check` warns if it's too low.
    let _ = setrlimit(Resource::Nofile, raised);
}

impl Demand {
    /// Logs a warning if the process may open fewer descriptors than it can need.
    pub(crate) fn check(self) {
        let needed = self.needed();
        if let Some(limit) = getrlimit(Resource::Nofile).current
            && limit < needed
        {
            tracing::warn!(
                "the process may open {limit} descriptors, but clients can need {needed}; at the limit it admits no \
                 new client. Raise the hard limit (`LimitNOFILE=` of systemd, `ulimit -Hn`), or lower `connections`"
            );
        }
    }

    fn needed(self) -> u64 {
        // The listener itself, its strangers, and a client that waits for a place among them.
        let strangers = self.listeners.saturating_mul(STRANGERS + 2);
        let sum = OWN
            .saturating_add(strangers)
            .saturating_add(self.connections)
            .saturating_add(self.files);
        u64::try_from(sum).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listeners_strangers_count() {
        let demand = |listeners| Demand {
            listeners,
            connections: 1000,
            files: 7,
        };
        let (one, three) = (demand(1).needed(), demand(3).needed());
        assert_eq!(three - one, 2 * (STRANGERS as u64 + 2));
        assert!(one > 1007 + STRANGERS as u64);
    }
}
