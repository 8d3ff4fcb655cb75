//! The times within which connections must end.

use std::time::Duration;

use nbdbox_config::limits::Limits;

use super::draws::ms;
use super::{ClientPlan, Reading, Schedule};

/// Time that the server gives a client to close its stream.
const LINGER: Duration = Duration::from_secs(1);

impl Schedule {
    /// The number of requests of all clients.
    fn requests(&self) -> u32 {
        let requests = self
            .clients
            .iter()
            .map(|client| client.requests)
            .sum::<usize>();
        u32::try_from(requests).unwrap()
    }

    /// Whether a request may have to wait for those of other connections.
    pub(crate) fn is_shared(&self) -> bool {
        let Limits {
            total_requests,
            total_inflight,
            ..
        } = self.limits;
        let tenant = self.tenant.requests < usize::MAX || self.tenant.inflight < u64::MAX;
        tenant || total_requests.is_some() || total_inflight.is_some()
    }

    /// Whether there is room for all requests of all connections at once.
    pub(crate) fn is_roomy(&self) -> bool {
        let most = u64::from(self.requests()) * (1 << 20);
        let requests = usize::try_from(self.requests()).unwrap();
        let Limits {
            requests: own,
            inflight,
            total_requests,
            total_inflight,
            ..
        } = self.limits;
        let total = total_requests.is_none_or(|most| most >= self.requests().into())
            && total_inflight.is_none_or(|bytes| bytes >= most);
        let tenant = self.tenant.requests >= requests && self.tenant.inflight >= most;
        own >= requests && inflight >= most && total && tenant
    }

    /// The longest time that a request may take: its wall time, and for each piece three waits for storage. After such
    /// a wait, 10 ms may pass until the deadline is checked.
    fn longest(&self) -> Duration {
        let most = u64::from(self.export.enforced().maximum());
        let pieces = u32::try_from(self.export.size / most + 1).unwrap();
        self.limits.wall + 3 * pieces * (self.disk.still + ms(11)) + ms(1)
    }

    /// The longest time from a DISC, or from the stop of the server, to the end of a connection whose client reads. The
    /// server drives all requests that were sent before to their end.
    pub(crate) fn drained(&self) -> Duration {
        self.left_by(self.longest())
    }

    /// The longest time from a hang-up, or from the end of the client's sending side, to the end of the connection. The
    /// disk gives up all calls that don't wait for storage.
    pub(crate) fn hung_up(&self) -> Duration {
        self.left_by(3 * self.disk.still + ms(12))
    }

    /// The longest time to the end of a connection whose requests take this time if there is room for them.
    fn left_by(&self, requests: Duration) -> Duration {
        let last = self.disk.around + LINGER + self.reading() + ms(10);
        if self.is_roomy() {
            return requests + last;
        }
        // One after the other, and others may have to be given up before.
        let one = self.longest() + self.limits.stall;
        (self.requests() + 1) * one + last
    }

    /// The longest time for which slow clients read.
    fn reading(&self) -> Duration {
        let most = self.export.size + 100;
        let of = |client: &ClientPlan| match client.reading {
            Reading::Slow(bytes, pause) => {
                let reads = most / u64::try_from(bytes.min(self.pipe)).unwrap() + 1;
                let requests = u32::try_from(client.requests).unwrap();
                pause * u32::try_from(reads).unwrap() * requests
            }
            Reading::AtOnce | Reading::Until(_) => Duration::ZERO,
        };
        self.clients.iter().map(of).sum()
    }
}
