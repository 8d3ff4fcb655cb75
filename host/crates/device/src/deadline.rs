//! What a request has left: time, calls between layers, and a client that waits for the reply.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nbdbox_config::limits::QUESTIONS;
use tokio::time::sleep;

use crate::clock::now;
use crate::fault::{Cause, Failure};
use crate::hang_up::HangUp;

/// How often a request whose clock stands still checks whether it has ended.
const SHORTEST: Duration = Duration::from_millis(10);

/// What one request has left, in all layers that work for it. Made when the request begins, and passed down the whole
/// stack. Clones belong to the same request.
///
/// The request's clock runs while the request queues, and while guests work or wait. It stands still while the request
/// waits for a core or for a source of bytes, such as the operator's disk: others are responsible for that time.
#[derive(Clone, Debug)]
pub struct Deadline(Arc<Left>);

#[derive(Debug)]
struct Left {
    begun: Instant,
    allowed: Duration,
    questions: AtomicU32,
    client: HangUp,
    /// Whether the clock has ever stood still. Most requests need no lock, because theirs hasn't.
    has_stood: AtomicBool,
    stood: Mutex<Stood>,
}

/// Time that doesn't count for the request.
#[derive(Debug, Default)]
struct Stood {
    done: Duration,
    /// Waits that go on, and since when there has been at least one.
    waits: u32,
    since: Option<Instant>,
}

/// The request's clock stands still until this guard is dropped.
#[derive(Debug)]
pub struct Standstill(Deadline);

impl Deadline {
    /// For a request of the connection of `client` that begins at `begun` and may take `allowed`.
    #[must_use]
    pub fn new(begun: Instant, allowed: Duration, client: HangUp) -> Self {
        Self(Arc::new(Left {
            begun,
            allowed,
            questions: AtomicU32::new(QUESTIONS),
            client,
            has_stood: AtomicBool::new(false),
            stood: Mutex::default(),
        }))
    }

    /// For work of the host's own that begins now; no client can give it up.
    #[must_use]
    pub fn unattended(allowed: Duration) -> Self {
        Self::new(now(), allowed, HangUp::default())
    }

    /// Makes this the deadline of another request of the same connection, without an allocation. `None` if a clone of
    /// the old one still exists.
    #[must_use]
    pub fn renew(mut self, begun: Instant) -> Option<Self> {
        let left = Arc::get_mut(&mut self.0)?;
        left.begun = begun;
        *left.questions.get_mut() = QUESTIONS;
        if std::mem::take(left.has_stood.get_mut()) {
            let stood = left.stood.get_mut();
            *stood.unwrap_or_else(PoisonError::into_inner) = Stood::default();
        }
        Some(self)
    }

    /// When the request began.
    #[must_use]
    pub fn begun(&self) -> Instant {
        self.0.begun
    }

    /// Whether both belong to the same request.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    fn stood(&self) -> MutexGuard<'_, Stood> {
        // No code panics half-way through a change while it holds the lock.
        self.0.stood.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For how long the clock has stood still so far.
    fn has_stood(&self, now: Instant) -> Duration {
        if !self.0.has_stood.load(Ordering::Acquire) {
            return Duration::ZERO;
        }
        let stood = self.stood();
        let going_on = stood
            .since
            .map(|since| now.saturating_duration_since(since));
        stood.done + going_on.unwrap_or_default()
    }

    /// The time that the request has left at `now`.
    #[must_use]
    pub fn left(&self, now: Instant) -> Duration {
        let gone = now.saturating_duration_since(self.0.begun);
        let own = gone.saturating_sub(self.has_stood(now));
        self.0.allowed.saturating_sub(own)
    }

    /// Stops the request's clock until the guard is dropped. Several guards may exist at once.
    #[must_use]
    pub fn stand_still(&self) -> Standstill {
        self.0.has_stood.store(true, Ordering::Release);
        let mut stood = self.stood();
        stood.waits += 1;
        stood.since.get_or_insert_with(now);
        Standstill(self.clone())
    }

    /// Whether the request's clock stands still now.
    #[must_use]
    pub fn is_standing_still(&self) -> bool {
        self.0.has_stood.load(Ordering::Acquire) && self.stood().waits > 0
    }

    /// Doesn't count `time`, for which the request queued behind one whose clock stood still.
    pub fn forgive(&self, time: Duration) {
        if !time.is_zero() {
            self.0.has_stood.store(true, Ordering::Release);
            self.stood().done += time;
        }
    }

    /// Awaits `wait`, for which the request isn't responsible: the request's clock stands still from the first poll
    /// that is pending. Dropping the future is as safe as dropping `wait`.
    pub async fn standing<F: Future>(&self, wait: F) -> F::Output {
        let mut wait = pin!(wait);
        let mut standstill = None;
        poll_fn(|cx| {
            let polled = wait.as_mut().poll(cx);
            if polled.is_pending() && standstill.is_none() {
                standstill = Some(self.stand_still());
            }
            polled
        })
        .await
    }

    /// Whether work for the request may go on. To be called before each further piece.
    ///
    /// # Errors
    /// The client has hung up, or the request has no time left.
    pub fn check(&self) -> Result<(), Failure> {
        if self.0.client.is_noted() {
            return Err(Failure::hung_up());
        }
        if self.left(now()).is_zero() {
            return Err(out_of_time());
        }
        Ok(())
    }

    /// Counts one call of a filter to the layer below.
    ///
    /// # Errors
    /// As [`check`](Self::check). Or the filters of the stack have made too many calls for this request.
    pub fn ask(&self) -> Result<(), Failure> {
        self.check()?;
        let one_less = |left: u32| left.checked_sub(1);
        let questions = &self.0.questions;
        let asked = questions.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
        let too_many =
            "the filters sent too many requests to the layers below for one request of a client";
        asked.map_err(|_| Failure::plugin(Cause::Budget, too_many))?;
        Ok(())
    }

    /// The host begins the next piece of the request: the filters may make as many calls for it as for a whole request.
    /// The request's time isn't renewed.
    pub fn next_piece(&self) {
        self.0.questions.store(QUESTIONS, Ordering::Relaxed);
    }

    /// Waits until [`check`](Self::check) fails, and returns that failure. Dropping the future is safe.
    pub async fn ended(&self) -> Failure {
        let mut gone = pin!(self.0.client.noted());
        loop {
            if let Err(ended) = self.check() {
                return ended;
            }
            // The clock may have stood still meanwhile: then time is left, and the loop waits on.
            let left = self.left(now());
            tokio::select! {
                biased;
                () = &mut gone => return Failure::hung_up(),
                () = sleep(left.max(SHORTEST)) => {}
            }
        }
    }

    /// Waits until the client has gone, possibly for ever. Dropping the future is safe.
    pub async fn abandoned(&self) {
        self.0.client.noted().await;
    }
}

impl Drop for Standstill {
    fn drop(&mut self) {
        let mut stood = self.0.stood();
        stood.waits -= 1;
        if stood.waits == 0 {
            let waited = stood.since.take();
            let waited = waited.map(|since| now().saturating_duration_since(since));
            stood.done += waited.unwrap_or_default();
        }
    }
}

fn out_of_time() -> Failure {
    Failure::plugin(Cause::WallTime, "the request took too long")
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the test's own tasks")]
mod tests {
    use nbd_proto::Errno;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn time_while_the_clock_stands_still_does_not_count() {
        let begun = Instant::now();
        let deadline = Deadline::new(begun, HOUR, HangUp::default());
        let (first, second) = (deadline.stand_still(), deadline.stand_still());
        let later = Instant::now() + 2 * HOUR;
        assert!(deadline.left(later) > HOUR / 2);
        drop(first);
        assert!(deadline.left(later) > HOUR / 2, "another still waits");
        drop(second);
        assert!(deadline.left(later).is_zero());
        deadline.forgive(2 * HOUR);
        assert!(deadline.left(later) > HOUR / 2);
    }

    #[test]
    fn calls_below_are_counted_for_the_whole_request() {
        let deadline = Deadline::unattended(HOUR);
        let below = deadline.clone();
        for _ in 0..QUESTIONS / 2 {
            assert!(deadline.ask().is_ok() && below.ask().is_ok());
        }
        assert!(deadline.ask().is_err());
        assert!(below.ask().is_err());
        assert!(deadline.check().is_ok(), "what was begun is finished");
        drop(below);
        let renewed = deadline.renew(Instant::now()).unwrap();
        assert!(renewed.ask().is_ok());
    }

    #[test]
    fn a_deadline_in_use_is_not_renewed() {
        let deadline = Deadline::unattended(HOUR);
        let works = deadline.clone();
        assert!(deadline.renew(Instant::now()).is_none());
        assert!(works.check().is_ok());
    }

    #[tokio::test]
    async fn a_hang_up_ends_all_requests_of_its_connection() {
        let client = HangUp::default();
        let request = || Deadline::new(Instant::now(), HOUR, client.clone());
        let (one, two) = (request(), request());
        let waits = tokio::spawn(async move { two.ended().await });
        tokio::task::yield_now().await;
        client.note();
        assert_eq!(one.check(), Err(Failure::hung_up()));
        assert_eq!(one.ended().await.errno, Errno::Eshutdown);
        assert_eq!(waits.await.unwrap().errno, Errno::Eshutdown);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_out_of_time_has_ended() {
        let deadline = Deadline::unattended(Duration::ZERO);
        assert_eq!(deadline.ended().await.errno, Errno::Eio);
    }
}
