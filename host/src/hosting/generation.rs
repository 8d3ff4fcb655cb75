//! The generations of an export: what each was opened with, and its clients.
//!
//! When a new connection comes, the export's configuration or one of its files may have changed, so that the host would
//! open the export differently. Two generations mustn't be open at once if each relies on being the only writer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

/// Something that was opened, and the number of its clients.
#[derive(Debug)]
pub(crate) struct Generation<T> {
    opened: T,
    clients: AtomicUsize,
}

/// A client of a generation, until it's dropped.
#[derive(Debug)]
pub(crate) struct Presence<T>(Arc<Generation<T>>);

/// What a new connection gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The open generation.
    Join,
    /// The open generation, although something is new: until its last client has left.
    JoinOld,
    /// The next generation, beside the open one, or in its place if nobody is connected to that.
    Open,
}

impl Step {
    /// `is_current`: the open generation has what a new one would be opened with. `is_sole_writer`: it mustn't be open
    /// beside another one.
    pub(crate) fn new(is_current: bool, has_clients: bool, is_sole_writer: bool) -> Self {
        match (is_current, has_clients && is_sole_writer) {
            (true, _) => Self::Join,
            (false, true) => Self::JoinOld,
            (false, false) => Self::Open,
        }
    }
}

impl<T> Generation<T> {
    pub(crate) fn new(opened: T) -> Arc<Self> {
        Arc::new(Self {
            opened,
            clients: AtomicUsize::new(0),
        })
    }

    /// What was opened.
    pub(crate) fn opened(&self) -> &T {
        &self.opened
    }

    /// Whether a client is connected to it.
    pub(crate) fn has_clients(&self) -> bool {
        self.clients.load(SeqCst) > 0
    }

    /// Adds a client.
    pub(crate) fn enter(self: &Arc<Self>) -> Presence<T> {
        self.clients.fetch_add(1, SeqCst);
        Presence(Arc::clone(self))
    }
}

impl<T> Presence<T> {
    pub(crate) fn generation(&self) -> &Arc<Generation<T>> {
        &self.0
    }
}

impl<T> Drop for Presence<T> {
    fn drop(&mut self) {
        self.0.clients.fetch_sub(1, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_that_write_alone_are_never_open_at_once() {
        for (is_current, has_clients, is_sole_writer, step) in [
            (true, true, true, Step::Join),
            (true, false, false, Step::Join),
            (false, true, true, Step::JoinOld),
            (false, true, false, Step::Open),
            (false, false, true, Step::Open),
            (false, false, false, Step::Open),
        ] {
            assert_eq!(Step::new(is_current, has_clients, is_sole_writer), step);
        }
    }

    #[test]
    fn a_client_has_left_when_its_presence_is_dropped() {
        let generation = Generation::new(());
        let (one, two) = (generation.enter(), generation.enter());
        drop(one);
        assert!(generation.has_clients());
        drop(two);
        assert!(!generation.has_clients());
    }
}
