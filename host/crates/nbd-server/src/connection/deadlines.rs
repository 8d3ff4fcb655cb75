//! Makes the deadlines of one connection's requests.

use std::time::{Duration, Instant};

use device::{Deadline, HangUp};

/// Deadlines that a connection keeps for further requests. Restrains nobody: the connection allocates more if it needs
/// them.
const SPARE: usize = 64;

/// The deadlines of one connection. All of them end when the client hangs up.
#[derive(Debug)]
pub(super) struct Deadlines {
    wall: Duration,
    client: HangUp,
    /// Deadlines of requests that have ended, kept so that most requests need no allocation.
    spare: Vec<Deadline>,
}

impl Deadlines {
    /// For requests that may each take the time `wall`.
    pub(super) fn new(wall: Duration) -> Self {
        Self {
            wall,
            client: HangUp::default(),
            spare: Vec::new(),
        }
    }

    /// The deadline of a request that begins now.
    pub(super) fn begin(&mut self, now: Instant) -> Deadline {
        let spare = self.spare.pop().and_then(|spare| spare.renew(now));
        spare.unwrap_or_else(|| Deadline::new(now, self.wall, self.client.clone()))
    }

    /// Takes back the deadline of a request that has ended.
    pub(super) fn end(&mut self, deadline: Deadline) {
        if self.spare.len() < SPARE {
            self.spare.push(deadline);
        }
    }

    /// Ends the deadlines of all requests under way, because the client is gone.
    pub(super) fn hang_up(&self) {
        self.client.note();
    }
}
