//! Who asks the plugin, and how often when nothing comes of it.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// The longest pause, in requests that don't ask.
const LONGEST: u32 = 1024;

/// The right to ask: one at a time, since what the others want is likely told in the same answer; and
/// after an answer that was of no use with a pause, which doubles.
#[derive(Debug, Default)]
pub(crate) struct ProbeGate {
    taken: AtomicBool,
    /// Requests that still go without.
    left: AtomicU32,
    /// How long the last pause was.
    pause: AtomicU32,
}

/// The right to ask, taken; given back when it's dropped.
#[derive(Debug)]
pub(crate) struct Taken<'a>(&'a ProbeGate);

impl ProbeGate {
    /// Takes it, unless somebody has it or it pauses.
    #[must_use]
    pub(crate) fn take(&self) -> Option<Taken<'_>> {
        let left = self.left.load(Ordering::Relaxed);
        if left > 0 {
            // Two at once may count as one: no harm.
            self.left.store(left - 1, Ordering::Relaxed);
            return None;
        }
        let free = !self.taken.swap(true, Ordering::Acquire);
        // Made only then: it gives the right back when it's dropped.
        free.then(|| Taken(self))
    }
}

impl Taken<'_> {
    /// Something came of it.
    pub(crate) fn fruitful(self) {
        self.0.pause.store(0, Ordering::Relaxed);
    }

    /// Nothing came of it.
    pub(crate) fn fruitless(self) {
        let pause = self.0.pause.load(Ordering::Relaxed);
        let longer = (pause * 2).clamp(1, LONGEST);
        self.0.pause.store(longer, Ordering::Relaxed);
        self.0.left.store(longer, Ordering::Relaxed);
    }

    /// Asking did harm: nobody is to ask again.
    pub(crate) fn last(self) {
        std::mem::forget(self);
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.0.taken.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time() {
        let turn = ProbeGate::default();
        let taken = turn.take().unwrap();
        assert!(turn.take().is_none());
        taken.fruitful();
        assert!(turn.take().is_some());
        assert!(turn.take().is_some(), "dropped without a word");
    }

    #[test]
    fn a_last_turn_is_the_last() {
        let turn = ProbeGate::default();
        turn.take().unwrap().last();
        assert!((0..5000).all(|_| turn.take().is_none()));
    }

    #[test]
    fn pauses_double_and_end_with_a_success() {
        let turn = ProbeGate::default();
        let waits = || (0..).take_while(|_| turn.take().is_none()).count();
        for expected in [1, 2, 4, 8] {
            turn.take().unwrap().fruitless();
            assert_eq!(waits(), expected);
        }
        for _ in 0..20 {
            while turn.take().is_none() {}
            turn.take().unwrap().fruitless();
        }
        assert_eq!(waits(), 1024);
        turn.take().unwrap().fruitful();
        assert_eq!(waits(), 0);
        turn.take().unwrap().fruitless();
        assert_eq!(waits(), 1);
    }
}
