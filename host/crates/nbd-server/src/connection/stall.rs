//! A client that owes the server something and doesn't give it.
//!
//! It owes the rest of a payload that it has begun to send, or the reading of replies that are ready. What the host does
//! meanwhile, and a disk that is slow, is never the client's stall.

use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// Bytes that have to move, in either direction, to count as progress; fewer do if nothing is owed then. Restrains a
/// client that sends or reads a byte now and then. More, and slow networks are taken for silent clients.
const PROGRESS: usize = 64 << 10;

/// How long a client has owed something without progress.
#[derive(Debug)]
pub(super) struct Stall {
    most: Duration,
    /// Since when, if it owes something.
    since: Option<Instant>,
    /// Bytes that moved since.
    moved: usize,
    /// Made when it's needed for the first time: most clients never owe anything for long.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Stall {
    /// A client that owes nothing yet, and may make no progress for so long.
    pub(super) fn new(most: Duration) -> Self {
        Self {
            most,
            since: None,
            moved: 0,
            sleep: None,
        }
    }

    /// So many bytes were received or sent.
    pub(super) fn note_moved(&mut self, bytes: usize) {
        self.moved = self.moved.saturating_add(bytes);
        if self.moved >= PROGRESS {
            self.since = None;
        }
    }

    /// The client owes nothing.
    pub(super) fn settle(&mut self) {
        self.since = None;
    }

    /// The client owes something: whether it has for too long; else the task is woken when it has.
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
            // It was for an earlier end, before there was progress.
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
    async fn it_is_over_after_so_long_without_progress() {
        let mut stall = Stall::new(MOST);
        assert!(!is_over(&mut stall));
        advance(MOST - Duration::from_millis(2)).await;
        assert!(!is_over(&mut stall));
        advance(Duration::from_millis(4)).await;
        assert!(is_over(&mut stall));
    }

    #[tokio::test(start_paused = true)]
    async fn progress_and_a_settled_debt_begin_it_anew() {
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
