//! Which request calls the plugin to learn a region, and how often if nothing comes of it.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// The longest pause, in requests that don't call the plugin.
const LONGEST: u32 = 1024;

/// The right to call the plugin for a region. One request has it at a time, because the answer probably has what the
/// others need. After a call that yields nothing there is a pause, which doubles each time.
#[derive(Debug, Default)]
pub(crate) struct ProbeGate {
    taken: AtomicBool,
    /// Requests that the current pause still lasts for.
    left: AtomicU32,
    /// The length of the last pause, in requests.
    pause: AtomicU32,
}

/// The right to call the plugin. Dropping it returns the right.
#[derive(Debug)]
pub(crate) struct Taken<'a>(&'a ProbeGate);

impl ProbeGate {
    /// Takes the right; `None` if another request has it, or during a pause.
    #[must_use]
    pub(crate) fn take(&self) -> Option<Taken<'_>> {
        let left = self.left.load(Ordering::Relaxed);
        if left > 0 {
            // Two requests at the same time may count as one, which does no harm.
            self.left.store(left - 1, Ordering::Relaxed);
            return None;
        }
        let free = !self.taken.swap(true, Ordering::Acquire);
        // Made only if the right was free, because dropping it returns the right.
        free.then(|| Taken(self))
    }
}

impl Taken<'_> {
    /// Returns the right after a call that taught the host something, and ends the pauses.
    pub(crate) fn fruitful(self) {
        self.0.pause.store(0, Ordering::Relaxed);
    }

    /// Returns the right after a call that taught the host nothing, and begins a pause of twice the last one.
    pub(crate) fn fruitless(self) {
        let pause = self.0.pause.load(Ordering::Relaxed);
        let longer = (pause * 2).clamp(1, LONGEST);
        self.0.pause.store(longer, Ordering::Relaxed);
        self.0.left.store(longer, Ordering::Relaxed);
    }

    /// Keeps the right for ever after a call that stopped the plugin, so that no request makes another.
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
        assert!(turn.take().is_some(), "a dropped right is free");
    }

    #[test]
    fn after_last_the_right_is_never_free() {
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
