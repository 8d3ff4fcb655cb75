//! Work of the host's own on behalf of a request, in pieces.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use quota::Rates;
use tokio::task::yield_now;

use crate::Deadline;
use crate::clock::now;
use crate::fault::Failure;
use crate::metrics::Metrics;
use crate::pace;

/// The most zero bytes that the host keeps, and so writes at once.
const ZEROES: u64 = 1 << 20;

/// The request that the host works for, and the rates that its bytes count for.
#[derive(Clone, Copy, Debug)]
pub struct Payer<'a> {
    /// The request's deadline.
    pub deadline: &'a Deadline,
    /// The counters for waits for a rate.
    pub metrics: &'a Metrics,
    /// The rates that the bytes count for; `None` if there are none, or if the whole request was counted already.
    pub rates: Option<[&'a Rates; 2]>,
}

/// The pieces of a range, from its start. Before each piece but the first, other tasks get a turn; the bytes of each
/// piece count for the rates; and no piece follows once the request has ended.
#[derive(Debug)]
pub struct Pieces<'a> {
    payer: Payer<'a>,
    length: u64,
    most: u64,
    done: u64,
    /// How long rates have delayed it while the request's clock stood still. It counts as the request's time all the
    /// same.
    held: Duration,
}

/// The pieces of a range that the host fills with zeroes.
#[derive(Debug)]
pub struct Zeroes<'a> {
    pieces: Pieces<'a>,
    bytes: Bytes,
}

impl<'a> Pieces<'a> {
    /// The pieces of `length` bytes, each of at most `most` bytes.
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

    /// The next piece, counted from the start of the range; `None` after the last one. Dropping the future is safe.
    ///
    /// # Errors
    /// The request has ended, or a rate would delay it for longer than its remaining time.
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
            let left = deadline.left(now()).saturating_sub(self.held);
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
    /// The pieces of `length` bytes, each of at most `most` bytes and at most 1 MiB.
    #[must_use]
    pub fn new(payer: Payer<'a>, length: u64, most: u32) -> Self {
        let most = ZEROES.min(most.into()).min(length);
        Self {
            pieces: Pieces::new(payer, length, most),
            // At most `ZEROES`.
            bytes: Bytes::from(vec![0; usize::try_from(most).unwrap_or_default()]),
        }
    }

    /// As [`Pieces::next`]: the offset of the piece from the start of the range, and its zeroes.
    ///
    /// # Errors
    /// As [`Pieces::next`].
    pub async fn next(&mut self) -> Result<Option<(u64, Bytes)>, Failure> {
        let Some(piece) = self.pieces.next().await? else {
            return Ok(None);
        };
        // A piece is never longer than `bytes`.
        let length = usize::try_from(piece.end - piece.start).unwrap_or(self.bytes.len());
        Ok(Some((piece.start, self.bytes.slice(..length))))
    }
}
