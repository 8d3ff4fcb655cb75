//! Waits for one operation of a blob. The host shows a long wait to the operator, logs a very long one, and gives it up
//! at the limit `storage`. A plugin's clocks don't count these waits.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::{Duration, Instant};

use blob::{Blob, BlobError};
use device::metrics::StorageWait;
use tokio::time::sleep;

use crate::abi::names::log_export;
use crate::instance::context::ExportContext;

/// The time after which an operation counts as a long one. Thousands of shorter ones pass in a second, and nobody could
/// read them.
const SHOWN: Duration = Duration::from_secs(1);

/// Waits for `work`, one operation of a blob, at most for the limit `storage`. `what` names the operation, such as
/// `read`.
///
/// Dropping the future is as safe as dropping `work`. The operation itself may go on after the host has given it up.
///
/// # Errors
/// Any error of the blob; `work` took longer than `storage`, which is the host's fault.
pub(crate) async fn wait<T>(
    ctx: &ExportContext,
    blob: &Blob,
    what: &'static str,
    work: impl Future<Output = Result<T, BlobError>>,
) -> Result<T, BlobError> {
    let mut work = pin!(work);
    // Most operations are ready at the first poll, and need no timer.
    match poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await {
        Poll::Ready(done) => done,
        Poll::Pending => Box::pin(wait_long(ctx, blob, what, work)).await,
    }
}

async fn wait_long<T>(
    ctx: &ExportContext,
    blob: &Blob,
    what: &'static str,
    mut work: Pin<&mut impl Future<Output = Result<T, BlobError>>>,
) -> Result<T, BlobError> {
    let (began, mut shown) = (Instant::now(), None);
    let (warning, limit) = (ctx.limits.storage_warning, ctx.limits.storage);
    for moment in moments(warning, limit) {
        let left = moment.saturating_sub(began.elapsed());
        tokio::select! {
            biased;
            done = work.as_mut() => return done,
            () = sleep(left) => {}
        }
        if Some(moment) == limit {
            return Err(too_long(blob, what, moment));
        }
        if moment == warning {
            warn(ctx, blob, what, moment);
        }
        shown.get_or_insert_with(|| show(ctx, blob, what, began));
    }
    work.await
}

/// Returns the times after its start at which a long operation needs attention, in order and without duplicates.
fn moments(warning: Duration, limit: Option<Duration>) -> BTreeSet<Duration> {
    [SHOWN, warning].into_iter().chain(limit).collect()
}

/// Shows the operation to the operator until the caller drops the returned guard. `began` is when the operation began.
pub(crate) fn show(
    ctx: &ExportContext,
    blob: &Blob,
    what: &'static str,
    began: Instant,
) -> StorageWait {
    ctx.metrics.storage.begin(what, blob.name(), began)
}

fn warn(ctx: &ExportContext, blob: &Blob, what: &str, after: Duration) {
    let blob = blob.name();
    log_export!(
        warn @ "nbdbox::storage",
        &ctx.names,
        blob,
        "a {what} of the blob `{blob}` has taken {after:?} so far: its storage is slow or gone"
    );
}

fn too_long(blob: &Blob, what: &str, limit: Duration) -> BlobError {
    let text = format!("a {what} took longer than the limit `storage`, {limit:?}");
    BlobError::Io {
        path: format!("blob `{}`", blob.name()),
        error: io::Error::new(io::ErrorKind::TimedOut, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_moments_come_once() {
        let seconds = |list: &[u64]| list.iter().map(|one| Duration::from_secs(*one)).collect();
        let at = |warning, limit: Option<u64>| {
            moments(Duration::from_secs(warning), limit.map(Duration::from_secs))
        };
        assert_eq!(at(30, None), seconds(&[1, 30]));
        assert_eq!(at(1, None), seconds(&[1]));
        assert_eq!(at(30, Some(5)), seconds(&[1, 5, 30]));
    }
}
