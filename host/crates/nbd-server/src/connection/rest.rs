//! When a connection has been at rest for long enough to give back what it keeps for its next request.
//!
//! Giving it back after each request would make clients that ask for one large thing at a time slow, since the memory
//! would be mapped anew for each. A client that has asked for nothing in a second won't notice.

use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

/// Time without a request. Restrains clients that come, ask for much and stay: each would keep what it needed once.
const REST: Duration = Duration::from_secs(1);

/// Looks once in a while whether there were requests. A connection that keeps nothing costs no timer.
#[derive(Debug, Default)]
pub(super) struct Rest {
    timer: Option<Pin<Box<Sleep>>>,
    /// Requests so far when the timer was set.
    requests: u64,
}

impl Rest {
    /// Whether there has been nothing but rest since the timer was set; else the task is woken to be asked again.
    /// `requests` have begun so far, and one `is_busy` if it hasn't ended.
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
