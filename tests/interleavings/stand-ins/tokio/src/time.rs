//! Sleep on the model's clock.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use stand_in_std::time::Instant as StdInstant;

/// As tokio's.
#[derive(Clone, Copy, Debug)]
pub struct Instant(StdInstant);

impl Instant {
    /// As tokio's.
    #[must_use]
    pub fn now() -> Self {
        Self(StdInstant::now())
    }

    /// As tokio's.
    #[must_use]
    pub fn into_std(self) -> StdInstant {
        self.0
    }
}

/// As tokio's.
pub async fn sleep(time: Duration) {
    let until = StdInstant::now().checked_add(time);
    poll_fn(|cx| match until {
        Some(until) if until.is_reached(cx.waker()) => Poll::Ready(()),
        // Not yet, or centuries from now.
        _ => Poll::Pending,
    })
    .await;
}
