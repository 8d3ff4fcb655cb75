//! A clock that moves only when a model advances it.

use ::std::cell::RefCell;
use ::std::ops::{Add, Sub};
use ::std::task::Waker;

pub use ::std::time::*;

/// As `std::time::Instant`, on the model's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(Duration);

struct Clock {
    now: Duration,
    /// Tasks to wake, and when.
    sleepers: Vec<(Duration, Waker)>,
}

::std::thread_local! {
    /// All threads of an execution are one thread of the system.
    static CLOCK: RefCell<Clock> = const {
        RefCell::new(Clock {
            now: Duration::from_secs(3600),
            sleepers: Vec::new(),
        })
    };
}

/// Advances the clock, and wakes the tasks that sleep until then.
pub fn advance(time: Duration) {
    crate::point();
    let woken: Vec<_> = CLOCK.with_borrow_mut(|clock| {
        clock.now += time;
        let now = clock.now;
        let woken = clock.sleepers.extract_if(.., |(until, _)| *until <= now);
        woken.collect()
    });
    for (_, waker) in woken {
        waker.wake();
    }
}

/// Forgets the sleepers of an earlier execution: its tasks are gone, and their wakers would wake others.
pub(crate) fn reset() {
    CLOCK.with_borrow_mut(|clock| clock.sleepers.clear());
}

impl Instant {
    /// As the real one's.
    #[must_use]
    pub fn now() -> Self {
        Self(CLOCK.with_borrow(|clock| clock.now))
    }

    /// Whether the clock has reached this instant. If not, the task is woken when it does.
    pub fn is_reached(self, waker: &Waker) -> bool {
        CLOCK.with_borrow_mut(|clock| {
            let is_reached = clock.now >= self.0;
            if !is_reached {
                clock.sleepers.push((self.0, waker.clone()));
            }
            is_reached
        })
    }

    /// The time from the clock's start to this instant.
    #[must_use]
    pub fn since_start(self) -> Duration {
        self.0
    }

    /// As the real one's.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        Self::now() - self
    }

    /// As the real one's.
    #[must_use]
    pub fn saturating_duration_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// As the real one's.
    #[must_use]
    pub fn checked_add(self, time: Duration) -> Option<Self> {
        self.0.checked_add(time).map(Self)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, time: Duration) -> Self {
        Self(self.0 + time)
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.saturating_duration_since(earlier)
    }
}
