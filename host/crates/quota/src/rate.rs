//! Requests and bytes a second. Requests that exceed a rate wait.
//!
//! A bucket keeps a single time: when all admitted work will be done if done at the rate. From that it computes how
//! long each request must wait, in order of arrival, so nobody has to be woken.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How far ahead of the rate requests may be after a pause; one request may always come.
const BURST: Duration = Duration::from_millis(100);

/// The value for "no rate".
const NONE: u64 = 0;

/// A rate of pieces a second.
#[derive(Debug, Default)]
struct Bucket {
    /// Pieces a second, or [`NONE`].
    rate: AtomicU64,
    /// When the admitted pieces will be done at the rate; `None` if there were none.
    until: Mutex<Option<Instant>>,
}

impl Bucket {
    fn set(&self, rate: Option<u64>) {
        self.rate.store(rate.unwrap_or(NONE), Ordering::Relaxed);
    }

    fn rate(&self) -> Option<u64> {
        Some(self.rate.load(Ordering::Relaxed)).filter(|rate| *rate != NONE)
    }

    /// How long pieces that arrive at `now` have to wait.
    fn wait(&self, now: Instant) -> Duration {
        if self.rate().is_none() {
            return Duration::ZERO;
        }
        let until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        until.map_or(Duration::ZERO, |until| {
            until.saturating_duration_since(now).saturating_sub(BURST)
        })
    }

    /// Admits pieces that arrive at `now`, after their wait.
    fn enter(&self, now: Instant, pieces: u64) {
        let Some(rate) = self.rate() else { return };
        let nanos = u128::from(pieces) * 1_000_000_000 / u128::from(rate);
        let cost = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        let start = until.map_or(now, |until| until.max(now));
        // An overflow is centuries ahead: let it be now, rather than never.
        *until = Some(start.checked_add(cost).unwrap_or(now));
    }
}

/// The rates of a tenant or an export.
#[derive(Debug, Default)]
pub struct Rates {
    requests: Bucket,
    bytes: Bucket,
}

impl Rates {
    /// Rates of `iops` requests and `bandwidth` bytes a second; `None` is no rate.
    #[must_use]
    pub fn new(iops: Option<u64>, bandwidth: Option<u64>) -> Self {
        let rates = Self::default();
        rates.set(iops, bandwidth);
        rates
    }

    /// Replaces the rates. Earlier requests count at the rate of their time.
    pub fn set(&self, iops: Option<u64>, bandwidth: Option<u64>) {
        self.requests.set(iops);
        self.bytes.set(bandwidth);
    }

    /// Whether there is no rate.
    #[must_use]
    pub fn is_free(&self) -> bool {
        self.requests.rate().is_none() && self.bytes.rate().is_none()
    }

    /// Counts `requests` requests of `bytes` bytes together that arrive at `now`, and returns how long they must wait
    /// so that all of `rates` hold. `None` if that is longer than `most`: then they aren't counted.
    #[must_use]
    pub fn reserve(
        rates: &[&Self],
        now: Instant,
        requests: u64,
        bytes: u64,
        most: Duration,
    ) -> Option<Duration> {
        let waits = rates
            .iter()
            .map(|rates| rates.requests.wait(now).max(rates.bytes.wait(now)));
        let wait = waits.max().unwrap_or_default();
        if wait > most {
            return None;
        }
        for rates in rates {
            rates.requests.enter(now, requests);
            rates.bytes.enter(now, bytes);
        }
        Some(wait)
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "a test needs some instant to count from"
)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// How long each of `count` simultaneous requests has to wait.
    fn waits(rates: &[&Rates], now: Instant, bytes: u64, count: usize) -> Vec<Duration> {
        let reserve = || Rates::reserve(rates, now, 1, bytes, LONG).unwrap();
        (0..count).map(|_| reserve()).collect()
    }

    #[test]
    fn requests_past_the_rate_wait_one_behind_the_other() {
        let rates = Rates::new(Some(100), None);
        let now = Instant::now();
        let waits = waits(&[&rates], now, 4096, 14);
        // A burst of 100 ms, and one request.
        assert_eq!(waits[..11], [Duration::ZERO; 11]);
        assert_eq!(waits[11..], [ms(10), ms(20), ms(30)]);
    }

    #[test]
    fn a_pause_makes_up_for_no_more_than_a_burst() {
        let rates = Rates::new(Some(100), None);
        let now = Instant::now();
        let _ = waits(&[&rates], now, 0, 50);
        let later = now + LONG;
        let waits = waits(&[&rates], later, 0, 12);
        assert_eq!(waits[..11], [Duration::ZERO; 11]);
        assert_eq!(waits[11], ms(10));
    }

    #[test]
    fn in_the_long_run_the_rate_holds() {
        let rates = Rates::new(Some(1000), Some(1 << 20));
        let start = Instant::now();
        let mut now = start;
        for _ in 0..1000 {
            now += Rates::reserve(&[&rates], now, 1, 4096, LONG).unwrap();
        }
        // 1000 × 4 KiB at 1 MiB a second.
        let took = now - start;
        assert!((ms(3700)..=ms(3910)).contains(&took), "{took:?}");
    }

    #[test]
    fn a_large_request_may_pass_and_the_next_one_pays() {
        let rates = Rates::new(None, Some(1 << 20));
        let now = Instant::now();
        let waits = waits(&[&rates], now, 4 << 20, 2);
        assert_eq!(waits, [Duration::ZERO, ms(3900)]);
    }

    #[test]
    fn all_rates_hold_together() {
        let (export, tenant) = (Rates::new(Some(1000), None), Rates::new(Some(10), None));
        let now = Instant::now();
        let waits = waits(&[&export, &tenant], now, 0, 4);
        assert_eq!(waits, [ms(0), ms(0), ms(100), ms(200)]);
    }

    #[test]
    fn a_request_that_would_wait_too_long_is_not_counted() {
        let rates = Rates::new(Some(1), None);
        let now = Instant::now();
        let _ = waits(&[&rates], now, 0, 4);
        for _ in 0..100 {
            assert_eq!(Rates::reserve(&[&rates], now, 1, 0, ms(2000)), None);
        }
        let later = now + ms(2000);
        assert_eq!(
            Rates::reserve(&[&rates], later, 1, 0, ms(2000)),
            Some(ms(1900))
        );
    }

    #[test]
    fn without_rates_nobody_waits() {
        let free = Rates::default();
        assert!(free.is_free());
        let now = Instant::now();
        assert_eq!(waits(&[&free], now, u64::MAX, 3), [Duration::ZERO; 3]);
        free.set(Some(1), None);
        assert!(!free.is_free());
    }
}
