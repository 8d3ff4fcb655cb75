//! The descriptors that the process may have, and how many it may come to need.

use nbd_server::STRANGERS;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What the process has besides sockets of clients and granted files: its runtime, pipes to compilers, the cache's
/// folder, the admin listener and its clients.
const OWN: usize = 128;

/// What a configuration can bring about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Demand {
    /// Listeners, each with its strangers.
    pub(crate) listeners: usize,
    /// Connections that have chosen an export.
    pub(crate) connections: usize,
    /// Files that are granted.
    pub(crate) files: usize,
}

/// Raises the soft limit to the hard one. It's low for the sake of programs that use select(2), and this isn't one.
pub(super) fn raise() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    // Refused, it stays as it is; `Demand::check` says it if that's too low.
    let _ = setrlimit(Resource::Nofile, raised);
}

impl Demand {
    /// Says it in the log if there may come to be fewer descriptors than are needed.
    pub(crate) fn check(self) {
        let needed = self.needed();
        if let Some(limit) = getrlimit(Resource::Nofile).current
            && limit < needed
        {
            tracing::warn!(
                "at most {limit} descriptors may be open, and clients could come to need {needed}: then others \
                 aren't let in. Raise the hard limit (`LimitNOFILE=` of systemd, `ulimit -Hn`), or lower `connections`"
            );
        }
    }

    fn needed(self) -> u64 {
        // A listener's own, its strangers, and one that waits for a place.
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
    fn each_listener_needs_its_strangers_too() {
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
