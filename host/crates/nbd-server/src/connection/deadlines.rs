//! The deadlines of one connection's requests.

use std::time::{Duration, Instant};

use device::{Deadline, HangUp};

/// Deadlines that are kept for further requests. Restrains nobody: more than these are made anew.
const SPARE: usize = 64;

/// Makes deadlines, and ends all of them when the client hangs up.
#[derive(Debug)]
pub(super) struct Deadlines {
    wall: Duration,
    client: HangUp,
    /// Those of requests that have ended, so that most take no allocation.
    spare: Vec<Deadline>,
}

impl Deadlines {
    /// For requests that may take as long as `wall`.
    pub(super) fn new(wall: Duration) -> Self {
        Self {
            wall,
            client: HangUp::default(),
            spare: Vec::new(),
        }
    }

    /// A request begins.
    pub(super) fn begin(&mut self, now: Instant) -> Deadline {
        let spare = self.spare.pop().and_then(|spare| spare.renew(now));
        spare.unwrap_or_else(|| Deadline::new(now, self.wall, self.client.clone()))
    }

    /// A request has ended.
    pub(super) fn end(&mut self, deadline: Deadline) {
        if self.spare.len() < SPARE {
            self.spare.push(deadline);
        }
    }

    /// The client has gone: nobody waits for the answers of those that are under way.
    pub(super) fn hang_up(&self) {
        self.client.note();
    }
}
