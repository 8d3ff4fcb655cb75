//! Channels for one value.

use stand_in_std::point;
use tokio::sync::oneshot as real;

use super::PointAtDrop;

pub use tokio::sync::oneshot::Receiver;

/// As tokio's.
#[derive(Debug)]
pub struct Sender<T>(Option<real::Sender<T>>);

/// As tokio's.
#[must_use]
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let (sender, receiver) = real::channel();
    (Sender(Some(sender)), receiver)
}

impl<T> Sender<T> {
    /// As tokio's.
    ///
    /// # Errors
    /// As tokio's.
    pub fn send(mut self, value: T) -> Result<(), T> {
        point();
        match self.0.take() {
            Some(sender) => sender.send(value),
            None => Err(value),
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if let Some(sender) = self.0.take() {
            drop(PointAtDrop);
            drop(sender);
        }
    }
}
