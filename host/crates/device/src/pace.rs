//! Delays requests until the rates of their export and tenant admit them.

use std::time::Duration;

use quota::Rates;
use tokio::time::sleep;

use crate::clock::now;
use crate::fault::Failure;
use crate::metrics::Metrics;
use crate::{Deadline, Terms};

/// Delays a request that will move `bytes` bytes until the rates of the export and its tenant admit it. The future
/// resolves to the delay. `None`, without an allocation, if neither has a rate. Dropping the future is safe; a request
/// that it has counted stays counted.
///
/// # Errors
/// The delay would exceed the request's remaining time, and the request wasn't counted. Or the client hung up during
/// the delay.
#[must_use]
pub fn hold_up<'a>(
    terms: &'a Terms,
    metrics: &'a Metrics,
    deadline: &'a Deadline,
    bytes: u64,
) -> Option<impl Future<Output = Result<Duration, Failure>> + Send + use<'a>> {
    let rates = terms.rates()?;
    let left = deadline.left(now());
    Some(wait(rates, metrics, deadline, left, (1, bytes)))
}

/// Delays `bytes` bytes that the host writes on behalf of a request that [`hold_up`] counted, for at most `left`.
/// Returns the delay. Dropping the future is safe.
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
    let wait = Rates::reserve(&rates, now(), requests, bytes, left);
    let wait =
        wait.ok_or_else(|| Failure::share("the rate limit would delay the request for too long"))?;
    if !wait.is_zero() {
        metrics.rate_waits.note(wait);
        tokio::select! {
            biased;
            () = deadline.abandoned() => return Err(Failure::hung_up()),
            () = sleep(wait) => {}
        }
    }
    Ok(wait)
}
