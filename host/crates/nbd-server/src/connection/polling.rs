//! Polls the socket of a busy connection for a short time before its task sleeps.
//!
//! A client that sends one request at a time sends the next one some microseconds after a reply. A server that sleeps
//! meanwhile pays for it twice: the worker goes to sleep, and the kernel wakes it. So the task of such a connection
//! stays awake for a *window*, as QEMU's event loop does (`poll-max-ns`, `poll-grow`): it yields instead of waiting for
//! its socket, and the runtime asks the kernel for input without blocking, runs the other tasks that are ready, and
//! polls it again.
//!
//! - The window grows while the client's next request comes within it, up to the limit that the operator set. It
//!   shrinks to nothing when requests come later. A connection without requests costs nothing.
//! - At most [`Pollers::new`]'s number of connections poll at once, so that cores are left to their clients.
//! - If other tasks ran between two polls, the worker is wanted, and the polling ends.
//! - The time is charged to the connection's tenant, as all of the connection's time is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The first window.
const FIRST: Duration = Duration::from_micros(16);

/// The time between two polls of a task that is alone on its worker is a few microseconds: one system call. Beyond this
/// one, other tasks ran.
const ALONE: Duration = Duration::from_micros(30);

/// Waits that have to be short, one after another, before a connection begins to poll.
const PROOF: u32 = 3;

/// The connections of a process that may poll at once, and for how long. Clones share them.
#[derive(Clone, Debug)]
pub struct Pollers {
    most: Duration,
    seats: Arc<Semaphore>,
}

impl Pollers {
    /// At most `connections` at once, each for at most `most` after its last request. Either may be 0: then none polls.
    #[must_use]
    pub fn new(connections: usize, most: Duration) -> Self {
        Self {
            most,
            seats: Arc::new(Semaphore::new(connections)),
        }
    }
}

impl Default for Pollers {
    /// None.
    fn default() -> Self {
        Self::new(0, Duration::ZERO)
    }
}

/// The polling of one connection.
#[derive(Debug)]
pub(super) struct Polling {
    pollers: Pollers,
    window: Duration,
    /// Short waits, one after another.
    short: u32,
    /// Since when the connection has had nothing to do.
    quiet: Option<Instant>,
    /// The last poll without input, while it polls.
    polled: Option<(Instant, OwnedSemaphorePermit)>,
}

impl Polling {
    pub(super) fn new(pollers: Pollers) -> Self {
        Self {
            pollers,
            window: Duration::ZERO,
            short: 0,
            quiet: None,
            polled: None,
        }
    }

    /// Whether this connection could ever poll.
    pub(super) fn is_on(&self) -> bool {
        !self.pollers.most.is_zero()
    }

    /// Notes that the connection has nothing to do. Returns whether its task stays awake.
    pub(super) fn stays_awake(&mut self, now: Instant) -> bool {
        let quiet = *self.quiet.get_or_insert(now);
        let is_within = now.saturating_duration_since(quiet) < self.window;
        let seat = match self.polled.take() {
            Some((before, _)) if now.saturating_duration_since(before) > ALONE => return false,
            Some((_, seat)) => Some(seat),
            None if quiet == now => Arc::clone(&self.pollers.seats).try_acquire_owned().ok(),
            // It slept, and something else than input woke it.
            None => None,
        };
        self.polled = seat.filter(|_| is_within).map(|seat| (now, seat));
        self.polled.is_some()
    }

    /// The time since the last poll, which the worker spent on looking for this connection's input.
    pub(super) fn awake_for(&self, now: Instant) -> Duration {
        let before = self.polled.as_ref().map(|(before, _)| *before);
        before.map_or(Duration::ZERO, |before| {
            now.saturating_duration_since(before).min(ALONE)
        })
    }

    /// Notes that input came.
    pub(super) fn note_input(&mut self) {
        // A busy connection doesn't look at the clock.
        if self.quiet.is_some() {
            self.note_input_at(Instant::now());
        }
    }

    fn note_input_at(&mut self, now: Instant) {
        self.polled = None;
        let Some(quiet) = self.quiet.take() else {
            return;
        };
        let waited = now.saturating_duration_since(quiet);
        let most = self.pollers.most;
        // A task that slept was woken late: it would have seen the request earlier.
        let limit = match self.window.is_zero() {
            true => most * 2,
            false => most,
        };
        if waited > limit {
            self.window = Duration::ZERO;
            self.short = 0;
        } else if self.short < PROOF {
            self.short += 1;
        } else if waited > self.window {
            self.window = (self.window * 2).clamp(FIRST.min(most), most);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Duration = Duration::from_micros(50);

    /// A connection whose client sends each request `wait` after the last reply. Returns for how long it stayed awake
    /// in the last of the waits.
    fn run(polling: &mut Polling, waits: usize, wait: Duration) -> Duration {
        let mut awake = Duration::ZERO;
        for _ in 0..waits {
            let quiet = Instant::now();
            awake = Duration::ZERO;
            let step = Duration::from_micros(2);
            while polling.stays_awake(quiet + awake) && awake < wait {
                awake += step;
            }
            polling.note_input_at(quiet + wait);
        }
        awake
    }

    fn micros(count: u64) -> Duration {
        Duration::from_micros(count)
    }

    #[test]
    fn short_waits_open_the_window_and_a_long_one_closes_it() {
        let mut polling = Polling::new(Pollers::new(1, MOST));
        assert_eq!(run(&mut polling, 3, micros(40)), Duration::ZERO);
        assert_eq!(run(&mut polling, 10, micros(40)), micros(40));
        assert_eq!(run(&mut polling, 1, micros(500)), MOST);
        assert_eq!(run(&mut polling, 3, micros(500)), Duration::ZERO);
    }

    #[test]
    fn a_client_that_is_slow_never_opens_it() {
        let mut polling = Polling::new(Pollers::new(1, MOST));
        assert_eq!(run(&mut polling, 100, micros(101)), Duration::ZERO);
    }

    #[test]
    fn no_more_connections_poll_than_there_are_seats() {
        let pollers = Pollers::new(1, MOST);
        let (mut one, mut other) = (Polling::new(pollers.clone()), Polling::new(pollers));
        let _ = run(&mut one, 10, micros(20));
        let _ = run(&mut other, 10, micros(20));
        let now = Instant::now();
        assert!(one.stays_awake(now));
        assert!(!other.stays_awake(now));
        one.note_input_at(now + micros(10));
        other.note_input_at(now + micros(10));
        assert!(other.stays_awake(now + micros(20)));
    }

    #[test]
    fn a_worker_that_others_want_is_left_to_them() {
        let mut polling = Polling::new(Pollers::new(1, MOST));
        let _ = run(&mut polling, 10, micros(20));
        let now = Instant::now();
        assert!(polling.stays_awake(now));
        assert!(polling.stays_awake(now + micros(5)));
        assert_eq!(polling.awake_for(now + micros(8)), micros(3));
        let late = now + micros(5) + ALONE + micros(1);
        assert!(!polling.stays_awake(late));
    }

    #[test]
    fn a_limit_of_nothing_turns_it_off() {
        for pollers in [Pollers::default(), Pollers::new(4, Duration::ZERO)] {
            let mut polling = Polling::new(pollers);
            assert_eq!(run(&mut polling, 20, micros(1)), Duration::ZERO);
        }
    }
}
