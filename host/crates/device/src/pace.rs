//! Requests are held up until their rates have room for them.

use std::time::{Duration, Instant};

use quota::Rates;
use tokio::time::sleep;

use crate::fault::Failure;
use crate::metrics::Metrics;
use crate::{Deadline, Terms};

/// Holds up a request that will move so many bytes, where the export or its tenant has rates: `None` where neither
/// has, which takes no allocation. Comes to how long it was held up. Dropping the future is safe; the request counts all the same.
///
/// # Errors
/// It would be held up for longer than it has time, and doesn't count.
#[must_use]
pub fn hold_up<'a>(
    terms: &'a Terms,
    metrics: &'a Metrics,
    deadline: &'a Deadline,
    bytes: u64,
) -> Option<impl Future<Output = Result<Duration, Failure>> + Send + use<'a>> {
    let rates = terms.rates()?;
    let left = deadline.left(Instant::now());
    Some(wait(rates, metrics, deadline, left, (1, bytes)))
}

/// Holds up what the host writes on behalf of a request that was counted already, piece by piece, for no longer than the
/// request has `left`. Returns for how long. As [`hold_up`].
///
/// # Errors
/// As [`hold_up`].
pub async fn hold_up_piece(
    rates: [&Rates; 2],
    metrics: &Metrics,
    deadline: &Deadline,
    left: Duration,
    bytes: u64,
) -> Result<Duration, Failure> {
    wait(rates, metrics, deadline, left, (0, bytes)).await
}

async fn wait(
    rates: [&Rates; 2],
    metrics: &Metrics,
    deadline: &Deadline,
    left: Duration,
    (requests, bytes): (u64, u64),
) -> Result<Duration, Failure> {
    let wait = Rates::reserve(&rates, Instant::now(), requests, bytes, left);
    let wait = wait.ok_or_else(|| Failure::share("past the rate for too long"))?;
    if !wait.is_zero() {
        metrics.rate_waits.note(wait);
        tokio::select! {
            () = sleep(wait) => {}
            () = deadline.abandoned() => return Err(Failure::hung_up()),
        }
    }
    Ok(wait)
}
