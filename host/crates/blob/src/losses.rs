//! Losses of what was answered, and who has heard of them: each hears once.
//!
//! As Linux tells of writes that failed after they were answered (its `errseq_t`): everybody who must hear keeps what
//! they have heard of, and compares.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// How often something was lost that had been answered.
///
/// Nothing here waits, or takes a lock.
#[derive(Debug, Default)]
pub struct Losses {
    noted: AtomicU64,
    /// So many of them somebody has heard of.
    heard: AtomicU64,
}

/// What a listener has heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard(u64);

impl Losses {
    /// Nothing was lost so far.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            noted: AtomicU64::new(0),
            heard: AtomicU64::new(0),
        }
    }

    /// Something was lost. To be called before anybody is answered who must hear of it.
    pub fn note(&self) {
        self.noted.fetch_add(1, SeqCst);
    }

    /// Whether anything was ever lost.
    #[must_use]
    pub fn any(&self) -> bool {
        self.noted.load(SeqCst) > 0
    }

    /// For a listener who begins now: hears of what is lost later, and of what nobody has heard of yet. A client who
    /// comes back after a loss is told of it so.
    #[must_use]
    pub fn sample(&self) -> Heard {
        Heard(self.heard.load(SeqCst))
    }

    /// Whether something was lost that this listener hasn't heard of; now they have.
    #[must_use]
    pub fn check_and_advance(&self, since: &mut Heard) -> bool {
        let noted = self.noted.load(SeqCst);
        self.heard.fetch_max(noted, SeqCst);
        let before = std::mem::replace(since, Heard(noted));
        before.0 < noted
    }

    /// Whether something was lost that nobody has heard of; now the caller has. Of two callers at once one gets `true`.
    #[must_use]
    pub fn take(&self) -> bool {
        let noted = self.noted.load(SeqCst);
        self.heard.fetch_max(noted, SeqCst) < noted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_listener_hears_of_a_loss_once() {
        let losses = Losses::new();
        let (mut one, mut two) = (losses.sample(), losses.sample());
        assert!(!losses.check_and_advance(&mut one));
        losses.note();
        assert!(losses.check_and_advance(&mut one));
        assert!(!losses.check_and_advance(&mut one));
        assert!(losses.check_and_advance(&mut two));
        assert!(!losses.check_and_advance(&mut two));
    }

    #[test]
    fn losses_between_two_questions_are_one() {
        let losses = Losses::new();
        let mut one = losses.sample();
        losses.note();
        losses.note();
        assert!(losses.check_and_advance(&mut one));
        assert!(!losses.check_and_advance(&mut one));
    }

    #[test]
    fn a_new_listener_hears_of_what_nobody_has_heard_of() {
        let losses = Losses::new();
        losses.note();
        let mut one = losses.sample();
        assert!(losses.check_and_advance(&mut one));
        let mut two = losses.sample();
        assert!(!losses.check_and_advance(&mut two), "somebody has");
    }

    #[test]
    fn what_is_taken_is_taken_once() {
        let losses = Losses::new();
        assert!(!losses.take());
        losses.note();
        assert!(losses.any());
        assert!(losses.take());
        assert!(!losses.take());
        assert!(losses.any(), "it did happen");
    }
}
