//! Closes connections that have no request for too long.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

/// The timer of one connection. It is over when no request was under way for a given time.
pub(super) struct Idle {
    time: Duration,
    sleep: Pin<Box<Sleep>>,
}

impl Idle {
    /// A timer that begins now.
    pub(super) fn new(time: Duration) -> Self {
        Self {
            time,
            sleep: Box::pin(sleep(time)),
        }
    }

    /// Begins anew, because a request has begun or is under way.
    pub(super) fn restart(&mut self) {
        self.sleep.as_mut().reset(Instant::now() + self.time);
    }

    /// Whether the time is over. If not, wakes the task when it is.
    pub(super) fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        self.sleep.as_mut().poll(cx) == Poll::Ready(())
    }
}
