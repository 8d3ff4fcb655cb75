//! Counters of lost changes, and which of them a client or filter has learned of.
//!
//! A change is lost if the server confirmed it and can't make it durable any more. The scheme is that of Linux's
//! `errseq_t`, by which each open file learns of a failed writeback once: one counter of losses, and for each witness
//! the count that it has learned of.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// How many losses a layer has had.
///
/// No method waits or takes a lock.
#[derive(Debug, Default)]
pub struct Losses {
    noted: AtomicU64,
    /// The count up to which at least one client has learned of them.
    heard: AtomicU64,
}

impl Losses {
    /// A layer without losses.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            noted: AtomicU64::new(0),
            heard: AtomicU64::new(0),
        }
    }

    /// Counts a loss. To be called before the server sends any reply that must report it.
    pub fn note(&self) {
        self.noted.fetch_add(1, SeqCst);
    }

    /// Whether there ever was a loss.
    #[must_use]
    pub fn any(&self) -> bool {
        self.noted.load(SeqCst) > 0
    }

    /// Whether there is a loss of which no client has learned yet.
    #[must_use]
    pub fn is_untold(&self) -> bool {
        let heard = self.heard.load(SeqCst);
        heard < self.noted.load(SeqCst)
    }
}

/// A client's connection, or a filter, that learns of each loss once.
///
/// No method waits or takes a lock.
#[derive(Debug)]
pub struct Witness {
    kind: Kind,
    /// The losses of each layer, and how many of them this witness has learned of.
    heard: Box<[(Arc<Losses>, AtomicU64)]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Client,
    Filter,
}

impl Witness {
    /// For a client whose connection begins now. It learns of later losses, and of the earlier ones of which no client
    /// has learned: so a client that reconnects after a loss learns of it.
    #[must_use]
    pub fn client(losses: Vec<Arc<Losses>>) -> Self {
        Self::new(Kind::Client, losses)
    }

    /// For a filter over layers that may lose changes. A loss of which only filters have learned still counts as
    /// unreported.
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

    /// Whether there is a loss of which this witness hasn't learned. From now on it counts as learned, so the caller
    /// must report it. Several losses since the last call count as one.
    #[must_use]
    pub fn hears_of_a_loss(&self) -> bool {
        // No short circuit: one report covers the losses of all layers.
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
    fn losses_since_the_last_report_are_one() {
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
