//! Whether the client of a connection is still there to receive replies.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Signals to the requests of a connection that their client has gone. Clones belong to the same connection.
#[derive(Clone, Debug, Default)]
pub struct HangUp(Arc<Line>);

#[derive(Debug, Default)]
struct Line {
    gone: AtomicBool,
    told: Notify,
}

impl HangUp {
    /// Records that the client has gone, and wakes all requests that wait for that.
    pub fn note(&self) {
        self.0.gone.store(true, Ordering::Release);
        self.0.told.notify_waiters();
    }

    /// Whether the client has gone.
    #[must_use]
    pub fn is_noted(&self) -> bool {
        self.0.gone.load(Ordering::Acquire)
    }

    /// Waits until the client has gone, possibly for ever. Dropping the future is safe.
    pub async fn noted(&self) {
        let told = self.0.told.notified();
        let mut told = std::pin::pin!(told);
        // Registered before the check, so a note in between isn't missed.
        told.as_mut().enable();
        if !self.is_noted() {
            told.await;
        }
    }
}
