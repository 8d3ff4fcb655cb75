//! Locks, condition variables and atomics. The scheduler may switch threads before each use of one.

use ::std::fmt;
use ::std::future::poll_fn;
use ::std::ops::{Deref, DerefMut};
use ::std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use ::std::task::{Poll, Waker};

use shuttle::rand::Rng as _;

use crate::time::{Duration, Instant};

pub use ::std::sync::*;

/// As `std::sync::atomic`, with all orderings taken for `SeqCst`.
pub mod atomic {
    pub use ::std::sync::atomic::Ordering;
    pub use shuttle::sync::atomic::*;
}

/// As `std::sync::Mutex`.
#[derive(Debug, Default)]
pub struct Mutex<T>(shuttle::sync::Mutex<T>);

/// As `std::sync::MutexGuard`.
pub struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
    held: shuttle::sync::MutexGuard<'a, T>,
}

impl<T> Mutex<T> {
    /// As the real one's.
    pub const fn new(value: T) -> Self {
        Self(shuttle::sync::Mutex::new(value))
    }

    /// As the real one's, but never poisoned: a panic ends the execution.
    ///
    /// # Errors
    /// None.
    pub fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(MutexGuard { mutex: self, held })
    }

    /// As the real one's.
    ///
    /// # Errors
    /// It was poisoned.
    pub fn get_mut(&mut self) -> LockResult<&mut T> {
        self.0.get_mut()
    }

    /// As the real one's.
    ///
    /// # Errors
    /// It was poisoned.
    pub fn into_inner(self) -> LockResult<T> {
        self.0.into_inner()
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.held
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.held
    }
}

impl<T: fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.held.fmt(f)
    }
}

/// As `std::sync::Condvar`. Unlike shuttle's, its waits time out.
#[derive(Debug, Default)]
pub struct Condvar {
    /// A real lock: there is no point while it's held.
    waiting: ::std::sync::Mutex<Vec<Arc<Waiter>>>,
}

#[derive(Debug)]
struct Waiter {
    notified: AtomicBool,
    waker: ::std::sync::Mutex<Waker>,
}

/// As `std::sync::WaitTimeoutResult`.
#[derive(Clone, Copy, Debug)]
pub struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    /// As the real one's.
    #[must_use]
    pub fn timed_out(&self) -> bool {
        self.0
    }
}

impl Condvar {
    /// As the real one's.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            waiting: ::std::sync::Mutex::new(Vec::new()),
        }
    }

    fn waiting(&self) -> ::std::sync::MutexGuard<'_, Vec<Arc<Waiter>>> {
        self.waiting.lock().unwrap()
    }

    /// As the real one's. The schedule decides which thread it wakes.
    pub fn notify_one(&self) {
        crate::point();
        let mut waiting = self.waiting();
        if waiting.is_empty() {
            return;
        }
        let which = match waiting.len() {
            1 => 0,
            more => shuttle::rand::thread_rng().gen_range(0..more),
        };
        let one = waiting.swap_remove(which);
        one.notified.store(true, SeqCst);
        one.waker.lock().unwrap().wake_by_ref();
    }

    /// As the real one's.
    ///
    /// # Errors
    /// None.
    pub fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        time: Duration,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        let waiter = Arc::new(Waiter {
            notified: AtomicBool::new(false),
            waker: ::std::sync::Mutex::new(Waker::noop().clone()),
        });
        self.waiting().push(Arc::clone(&waiter));
        let (mutex, until) = (guard.mutex, Instant::now() + time);
        drop(guard);
        let timed_out = shuttle::future::block_on(poll_fn(|cx| {
            if waiter.notified.load(SeqCst) {
                return Poll::Ready(false);
            }
            waiter.waker.lock().unwrap().clone_from(cx.waker());
            match until.is_reached(cx.waker()) {
                true => Poll::Ready(true),
                false => Poll::Pending,
            }
        }));
        self.waiting().retain(|one| !Arc::ptr_eq(one, &waiter));
        let guard = mutex.lock().unwrap_or_else(PoisonError::into_inner);
        Ok((guard, WaitTimeoutResult(timed_out)))
    }
}
