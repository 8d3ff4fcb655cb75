//! The time without a request.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

/// How long a connection may be without a request.
pub(super) struct Idle {
    time: Duration,
    sleep: Pin<Box<Sleep>>,
}

impl Idle {
    /// Begins now.
    pub(super) fn new(time: Duration) -> Self {
        Self {
            time,
            sleep: Box::pin(sleep(time)),
        }
    }

    /// There was a request, or there is one.
    pub(super) fn restart(&mut self) {
        self.sleep.as_mut().reset(Instant::now() + self.time);
    }

    /// Whether it has been too long; else the task is woken when it is.
    pub(super) fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        self.sleep.as_mut().poll(cx) == Poll::Ready(())
    }
}
