//! Detects when a connection has been at rest long enough to release the memory that it keeps for its next request.
//!
//! A release after each request would slow clients that send one large request at a time, because the kernel would map
//! the memory anew for each. A client without a request for a second doesn't notice the release.

use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

/// Time without a request before the connection is at rest. Restrains clients that send large requests and then stay
/// silent: each would keep the memory of its largest requests.
const REST: Duration = Duration::from_secs(1);

/// A timer that checks from time to time whether there were requests. A connection that keeps no memory has no timer.
#[derive(Debug, Default)]
pub(super) struct Rest {
    timer: Option<Pin<Box<Sleep>>>,
    /// Requests so far when the timer was set.
    requests: u64,
}

impl Rest {
    /// Whether no request has begun or been under way since the timer was set. If not, wakes the task so that it calls
    /// again. `requests` is the number that have begun so far; `is_busy` is whether one of them hasn't ended.
    pub(super) fn is_over(&mut self, requests: u64, is_busy: bool, cx: &mut Context<'_>) -> bool {
        let timer = self.timer.get_or_insert_with(|| {
            self.requests = requests;
            Box::pin(sleep(REST))
        });
        while timer.as_mut().poll(cx).is_ready() {
            if self.requests == requests && !is_busy {
                self.timer = None;
                return true;
            }
            self.requests = requests;
            timer.as_mut().reset(Instant::now() + REST);
        }
        false
    }
}
