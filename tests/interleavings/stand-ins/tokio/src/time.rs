//! Sleep on the model's clock.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use stand_in_std::time::Instant;

/// As tokio's.
pub async fn sleep(time: Duration) {
    let until = Instant::now().checked_add(time);
    poll_fn(|cx| match until {
        Some(until) if until.is_reached(cx.waker()) => Poll::Ready(()),
        // Not yet, or centuries from now.
        _ => Poll::Pending,
    })
    .await;
}
