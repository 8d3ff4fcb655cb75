//! Work of the host's own on behalf of a request, piece by piece.

use std::ops::Range;
use std::time::{Duration, Instant};

use bytes::Bytes;
use quota::Rates;
use tokio::task::yield_now;

use crate::Deadline;
use crate::fault::Failure;
use crate::metrics::Metrics;
use crate::pace;

/// Bytes of zeroes that are written at once.
const ZEROES: u64 = 1 << 20;

/// The request that is worked for, and what its export pays.
#[derive(Clone, Copy, Debug)]
pub struct Payer<'a> {
    /// The request's.
    pub deadline: &'a Deadline,
    /// Where waits for a rate are counted.
    pub metrics: &'a Metrics,
    /// What limits the bytes; `None` if nothing does, or if they were paid for.
    pub rates: Option<[&'a Rates; 2]>,
}

/// The pieces of a range, from its start on. Each is paid for as a client's request of its length is, others have their
/// turn after it, and there is no further one once the request has ended.
#[derive(Debug)]
pub struct Pieces<'a> {
    payer: Payer<'a>,
    length: u64,
    most: u64,
    done: u64,
    /// For how long a rate has held it up while the request's time stood still: that is the request's all the same.
    held: Duration,
}

/// The pieces of a range that is filled with zeroes.
#[derive(Debug)]
pub struct Zeroes<'a> {
    pieces: Pieces<'a>,
    bytes: Bytes,
}

impl<'a> Pieces<'a> {
    /// `length` bytes, `most` or fewer at once.
    #[must_use]
    pub fn new(payer: Payer<'a>, length: u64, most: u64) -> Self {
        Self {
            payer,
            length,
            most,
            done: 0,
            held: Duration::ZERO,
        }
    }

    /// The next piece, counted from the start of the range; `None` if all are done. Dropping it is safe.
    ///
    /// # Errors
    /// The request has ended, or would be held up by a rate for longer than it has time.
    pub async fn next(&mut self) -> Result<Option<Range<u64>>, Failure> {
        let start = self.done;
        if start >= self.length {
            return Ok(None);
        }
        if start > 0 {
            yield_now().await;
        }
        let Payer {
            deadline,
            metrics,
            rates,
        } = self.payer;
        deadline.check()?;
        deadline.next_piece();
        let piece = self.most.min(self.length - start);
        if let Some(rates) = rates {
            let left = deadline.left(Instant::now()).saturating_sub(self.held);
            let waited = pace::hold_up_piece(rates, metrics, deadline, left, piece).await?;
            if deadline.is_standing_still() {
                self.held += waited;
            }
        }
        self.done += piece;
        Ok(Some(start..self.done))
    }
}

impl<'a> Zeroes<'a> {
    /// `length` bytes, `most` or fewer at once, and a MiB at most.
    #[must_use]
    pub fn new(payer: Payer<'a>, length: u64, most: u32) -> Self {
        let most = ZEROES.min(most.into()).min(length);
        Self {
            pieces: Pieces::new(payer, length, most),
            // No more than a MiB.
            bytes: Bytes::from(vec![0; usize::try_from(most).unwrap_or_default()]),
        }
    }

    /// As [`Pieces::next`]: how far behind the start the piece lies, and its zeroes.
    ///
    /// # Errors
    /// As [`Pieces::next`].
    pub async fn next(&mut self) -> Result<Option<(u64, Bytes)>, Failure> {
        let Some(piece) = self.pieces.next().await? else {
            return Ok(None);
        };
        // No longer than the bytes.
        let length = usize::try_from(piece.end - piece.start).unwrap_or(self.bytes.len());
        Ok(Some((piece.start, self.bytes.slice(..length))))
    }
}
