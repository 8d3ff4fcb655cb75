//! Requests and bytes a second: who is past a rate waits.
//!
//! A bucket keeps a single time: when all that was let in so far is worked off at the rate. Somebody who
//! comes is told how long to wait, in the order in which they come, and nobody has to be woken.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What may come at once after a pause: so much time's worth, and one request in any case.
const BURST: Duration = Duration::from_millis(100);

/// No rate.
const NONE: u64 = 0;

/// So many pieces a second.
#[derive(Debug, Default)]
struct Bucket {
    /// Pieces a second, or [`NONE`].
    rate: AtomicU64,
    /// When what was let in is worked off; `None` if nothing was.
    until: Mutex<Option<Instant>>,
}

impl Bucket {
    fn set(&self, rate: Option<u64>) {
        self.rate.store(rate.unwrap_or(NONE), Ordering::Relaxed);
    }

    fn rate(&self) -> Option<u64> {
        Some(self.rate.load(Ordering::Relaxed)).filter(|rate| *rate != NONE)
    }

    /// How long somebody who comes `now` has to wait.
    fn wait(&self, now: Instant) -> Duration {
        if self.rate().is_none() {
            return Duration::ZERO;
        }
        let until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        until.map_or(Duration::ZERO, |until| {
            until.saturating_duration_since(now).saturating_sub(BURST)
        })
    }

    /// Lets in somebody who has waited as long.
    fn enter(&self, now: Instant, pieces: u64) {
        let Some(rate) = self.rate() else { return };
        let nanos = u128::from(pieces) * 1_000_000_000 / u128::from(rate);
        let cost = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        let start = until.map_or(now, |until| until.max(now));
        // Centuries ahead: let it be now, rather than never.
        *until = Some(start.checked_add(cost).unwrap_or(now));
    }
}

/// The rates of a tenant, or of an export.
#[derive(Debug, Default)]
pub struct Rates {
    requests: Bucket,
    bytes: Bucket,
}

impl Rates {
    /// So many requests and bytes a second.
    #[must_use]
    pub fn new(iops: Option<u64>, bandwidth: Option<u64>) -> Self {
        let rates = Self::default();
        rates.set(iops, bandwidth);
        rates
    }

    /// Sets others. What was let in before is worked off as it was.
    pub fn set(&self, iops: Option<u64>, bandwidth: Option<u64>) {
        self.requests.set(iops);
        self.bytes.set(bandwidth);
    }

    /// Whether there is no rate at all.
    #[must_use]
    pub fn is_free(&self) -> bool {
        self.requests.rate().is_none() && self.bytes.rate().is_none()
    }

    /// So many requests, of so many bytes together, come `now`, when all of `rates` hold: how long they have to wait.
    /// `None` if that is longer than `most`, and then they aren't counted.
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

    /// How long each of `count` requests that come at once has to wait.
    fn waits(rates: &[&Rates], now: Instant, bytes: u64, count: usize) -> Vec<Duration> {
        let reserve = || Rates::reserve(rates, now, 1, bytes, LONG).unwrap();
        (0..count).map(|_| reserve()).collect()
    }

    #[test]
    fn requests_past_the_rate_wait_one_behind_the_other() {
        let rates = Rates::new(Some(100), None);
        let now = Instant::now();
        let waits = waits(&[&rates], now, 4096, 14);
        // A burst of 100 ms, and one.
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
    fn who_would_wait_too_long_is_not_counted() {
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
