//! Losses of what was answered, and who has heard of them.
//!
//! As Linux tells of writes that failed after they were answered (its `errseq_t`): everybody who must hear keeps what
//! they have heard of, and compares.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// How often something was lost that had been answered.
///
/// Nothing here waits, or takes a lock.
#[derive(Debug, Default)]
pub struct Losses {
    noted: AtomicU64,
    /// So many of them a client has heard of.
    heard: AtomicU64,
}

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

    /// Whether something was lost of which no client has heard so far.
    #[must_use]
    pub fn is_untold(&self) -> bool {
        let heard = self.heard.load(SeqCst);
        heard < self.noted.load(SeqCst)
    }
}

/// Somebody who was there when something was lost, and hears of each loss once: a client's connection, or a filter.
///
/// Nothing here waits, or takes a lock.
#[derive(Debug)]
pub struct Witness {
    kind: Kind,
    /// Each layer's losses, and how many of them this one has heard of.
    heard: Box<[(Arc<Losses>, AtomicU64)]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Client,
    Filter,
}

impl Witness {
    /// A client that begins now. It hears of what is lost from now on, and of what no client has heard of yet: one
    /// that comes back after a loss is told of it so.
    #[must_use]
    pub fn client(losses: Vec<Arc<Losses>>) -> Self {
        Self::new(Kind::Client, losses)
    }

    /// A filter over what may be lost. That it heard doesn't count as if a client had.
    #[must_use]
    pub fn filter(losses: Vec<Arc<Losses>>) -> Self {
        Self::new(Kind::Filter, losses)
    }

    fn new(kind: Kind, losses: Vec<Arc<Losses>>) -> Self {
        let since = |losses: Arc<Losses>| {
            let heard = losses.heard.load(SeqCst);
            (losses, AtomicU64::new(heard))
        };
        Self {
            kind,
            heard: losses.into_iter().map(since).collect(),
        }
    }

    /// Whether something was lost that it hasn't heard of; now it has.
    #[must_use]
    pub fn hears_of_a_loss(&self) -> bool {
        // All of them are told of at once.
        self.heard.iter().fold(false, |any, (losses, heard)| {
            let noted = losses.noted.load(SeqCst);
            if self.kind == Kind::Client {
                losses.heard.fetch_max(noted, SeqCst);
            }
            any | (heard.fetch_max(noted, SeqCst) < noted)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(losses: &Arc<Losses>) -> Witness {
        Witness::client(vec![Arc::clone(losses)])
    }

    #[test]
    fn each_client_hears_of_a_loss_once() {
        let losses = Arc::new(Losses::new());
        let (one, two) = (client(&losses), client(&losses));
        assert!(!one.hears_of_a_loss());
        losses.note();
        assert!(one.hears_of_a_loss());
        assert!(!one.hears_of_a_loss());
        assert!(two.hears_of_a_loss());
        assert!(!two.hears_of_a_loss());
    }

    #[test]
    fn losses_between_two_questions_are_one() {
        let (above, below) = (Arc::new(Losses::new()), Arc::new(Losses::new()));
        let one = Witness::client(vec![Arc::clone(&above), Arc::clone(&below)]);
        above.note();
        below.note();
        below.note();
        assert!(one.hears_of_a_loss());
        assert!(!one.hears_of_a_loss());
    }

    #[test]
    fn a_new_client_hears_of_what_no_client_has_heard_of() {
        let losses = Arc::new(Losses::new());
        losses.note();
        assert!(losses.is_untold());
        let filter = Witness::filter(vec![Arc::clone(&losses)]);
        assert!(filter.hears_of_a_loss());
        assert!(!filter.hears_of_a_loss());
        assert!(losses.is_untold(), "a filter is no client");
        assert!(client(&losses).hears_of_a_loss());
        assert!(!client(&losses).hears_of_a_loss(), "another client has");
        assert!(!losses.is_untold());
        assert!(losses.any(), "it did happen");
    }
}
