//! Semaphores, notifications and channels.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread;

use stand_in_std::point;
use tokio::sync as real;

pub use tokio::sync::{AcquireError, TryAcquireError};

pub mod oneshot;

/// A point when it's dropped: before the drop of the variables that stand above it.
pub(crate) struct PointAtDrop;

impl Drop for PointAtDrop {
    fn drop(&mut self) {
        if !thread::panicking() {
            point();
        }
    }
}

/// As tokio's.
#[derive(Debug)]
pub struct Semaphore(real::Semaphore);

/// As tokio's.
#[derive(Debug)]
pub struct SemaphorePermit<'a>(Option<real::SemaphorePermit<'a>>);

impl Semaphore {
    /// As tokio's.
    #[must_use]
    pub fn new(permits: usize) -> Self {
        Self(real::Semaphore::new(permits))
    }

    /// As tokio's.
    pub fn available_permits(&self) -> usize {
        point();
        self.0.available_permits()
    }

    /// As tokio's.
    pub fn add_permits(&self, count: usize) {
        point();
        self.0.add_permits(count);
    }

    /// As tokio's.
    ///
    /// # Errors
    /// As tokio's.
    pub fn try_acquire(&self) -> Result<SemaphorePermit<'_>, TryAcquireError> {
        point();
        self.0.try_acquire().map(SemaphorePermit::new)
    }

    /// As tokio's.
    ///
    /// # Errors
    /// As tokio's.
    pub async fn acquire(&self) -> Result<SemaphorePermit<'_>, AcquireError> {
        point();
        let permit = std::pin::pin!(self.0.acquire());
        let _point = PointAtDrop;
        permit.await.map(SemaphorePermit::new)
    }
}

impl<'a> SemaphorePermit<'a> {
    fn new(permit: real::SemaphorePermit<'a>) -> Self {
        Self(Some(permit))
    }

    /// As tokio's.
    pub fn forget(mut self) {
        if let Some(permit) = self.0.take() {
            permit.forget();
        }
    }
}

impl Drop for SemaphorePermit<'_> {
    fn drop(&mut self) {
        if let Some(permit) = self.0.take() {
            drop(PointAtDrop);
            drop(permit);
        }
    }
}

/// As tokio's.
#[derive(Debug, Default)]
pub struct Notify(real::Notify);

/// As tokio's.
#[derive(Debug)]
pub struct Notified<'a>(Pin<Box<real::futures::Notified<'a>>>);

impl Notify {
    /// As tokio's.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// As tokio's.
    pub fn notify_waiters(&self) {
        point();
        self.0.notify_waiters();
    }

    /// As tokio's.
    pub fn notified(&self) -> Notified<'_> {
        point();
        Notified(Box::pin(self.0.notified()))
    }
}

impl Notified<'_> {
    /// As tokio's.
    pub fn enable(self: Pin<&mut Self>) -> bool {
        point();
        self.get_mut().0.as_mut().enable()
    }
}

impl Future for Notified<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.get_mut().0.as_mut().poll(cx)
    }
}
