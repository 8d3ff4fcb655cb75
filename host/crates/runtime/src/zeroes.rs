//! Zeroes that the host writes out itself, where a layer or a blob can't zero: piece by piece.

use std::time::{Duration, Instant};

use bytes::Bytes;
use device::fault::Failure;
use device::metrics::Metrics;
use device::{Deadline, pace};
use quota::Rates;
use tokio::task::yield_now;

/// Bytes of a piece.
const PIECE: u32 = 1 << 20;

/// The pieces of a range, from its start on. Each is paid for as a client's write of its length is, others have their
/// turn after it, and there is no further one once the request has ended.
pub(crate) struct Zeroes<'a> {
    payer: Payer<'a>,
    bytes: Bytes,
    length: u64,
    done: u64,
    /// For how long a rate has held it up while the request's time stood still: that is the request's all the same.
    held: Duration,
}

/// The request for which zeroes are written, and the export that pays.
#[derive(Clone, Copy)]
pub(crate) struct Payer<'a> {
    pub(crate) deadline: &'a Deadline,
    pub(crate) metrics: &'a Metrics,
    pub(crate) rates: Option<[&'a Rates; 2]>,
}

impl<'a> Zeroes<'a> {
    /// `length` bytes, `most` or fewer at once.
    pub(crate) fn new(payer: Payer<'a>, length: u64, most: u32) -> Self {
        let most = u64::from(PIECE.min(most)).min(length);
        Self {
            payer,
            // At most a piece.
            bytes: Bytes::from(vec![0; usize::try_from(most).unwrap_or_default()]),
            length,
            done: 0,
            held: Duration::ZERO,
        }
    }

    /// The next piece: how far behind the start it lies, and its zeroes; `None` if all are done. Dropping it is safe.
    ///
    /// # Errors
    /// The request has ended, or would be held up by a rate for longer than it has time.
    pub(crate) async fn next(&mut self) -> Result<Option<(u64, Bytes)>, Failure> {
        let at = self.done;
        if at >= self.length {
            return Ok(None);
        }
        if at > 0 {
            yield_now().await;
        }
        let Payer {
            deadline,
            metrics,
            rates,
        } = self.payer;
        deadline.check()?;
        deadline.next_piece();
        let piece = (self.bytes.len() as u64).min(self.length - at);
        if let Some(rates) = rates {
            let left = deadline.left(Instant::now()).saturating_sub(self.held);
            let waited = pace::hold_up_piece(rates, metrics, deadline, left, piece).await?;
            if deadline.is_standing_still() {
                self.held += waited;
            }
        }
        self.done += piece;
        // No longer than the bytes.
        let end = usize::try_from(piece).unwrap_or(self.bytes.len());
        Ok(Some((at, self.bytes.slice(..end))))
    }
}
