//! Detects a client that stalls: it owes the server something, and makes no progress.
//!
//! A client owes the rest of a payload that it has begun to send, and it owes the reading of replies that are ready.
//! Work of the host and a slow disk never count as the client's stall.

use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// Bytes in either direction that count as progress. Fewer suffice if the client owes nothing after them. Restrains a
/// client that sends or reads a byte now and then. If it were larger, clients on slow networks would seem to stall.
const PROGRESS: usize = 64 << 10;

/// Measures for how long a client has owed something without progress.
#[derive(Debug)]
pub(super) struct Stall {
    most: Duration,
    /// Since when the client owes something without progress; `None` if it owes nothing.
    since: Option<Instant>,
    /// Bytes that moved since then.
    moved: usize,
    /// Made at the first use, because most clients never owe anything for long.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Stall {
    /// For a client that owes nothing yet, and stalls after the time `most` without progress.
    pub(super) fn new(most: Duration) -> Self {
        Self {
            most,
            since: None,
            moved: 0,
            sleep: None,
        }
    }

    /// Counts bytes that were received or sent.
    pub(super) fn note_moved(&mut self, bytes: usize) {
        self.moved = self.moved.saturating_add(bytes);
        if self.moved >= PROGRESS {
            self.since = None;
        }
    }

    /// Notes that the client owes nothing.
    pub(super) fn settle(&mut self) {
        self.since = None;
    }

    /// Notes that the client owes something, and returns whether it stalls. If not, wakes the task when it does.
    pub(super) fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        let since = match self.since {
            Some(since) => since,
            None => {
                self.moved = 0;
                *self.since.insert(Instant::now())
            }
        };
        let end = since + self.most;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(end)));
        while sleep.as_mut().poll(cx).is_ready() {
            if sleep.deadline() >= end {
                return true;
            }
            // The timer was set before the last progress.
            sleep.as_mut().reset(end);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::time::advance;

    use super::*;

    const MOST: Duration = Duration::from_secs(10);

    fn is_over(stall: &mut Stall) -> bool {
        stall.is_over(&mut Context::from_waker(Waker::noop()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_stalls_after_the_time_without_progress() {
        let mut stall = Stall::new(MOST);
        assert!(!is_over(&mut stall));
        advance(MOST - Duration::from_millis(2)).await;
        assert!(!is_over(&mut stall));
        advance(Duration::from_millis(4)).await;
        assert!(is_over(&mut stall));
    }

    #[tokio::test(start_paused = true)]
    async fn progress_or_nothing_owed_restarts_the_time() {
        for progress in [
            |stall: &mut Stall| stall.note_moved(PROGRESS),
            Stall::settle,
        ] {
            let mut stall = Stall::new(MOST);
            for _ in 0..5 {
                assert!(!is_over(&mut stall));
                advance(MOST * 2 / 3).await;
                progress(&mut stall);
            }
            assert!(!is_over(&mut stall));
            advance(MOST * 2).await;
            assert!(is_over(&mut stall));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_byte_now_and_then_is_no_progress() {
        let mut stall = Stall::new(MOST);
        for _ in 0..10 {
            assert!(!is_over(&mut stall));
            advance(MOST / 10).await;
            stall.note_moved(1);
        }
        advance(Duration::from_millis(2)).await;
        assert!(is_over(&mut stall));
    }
}
