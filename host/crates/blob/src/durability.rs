//! What was changed since the last flush: the one place that knows in which order to take note of it.
//!
//! There is one timeline, and whatever is noted gets a time of its own on it. **A change is noted after it was made, a
//! flush before it begins.** So a flush with a later time than a change began when the change was made already, and
//! covers it. A change that is made while a flush runs gets a later time than the flush, if it's noted after the flush
//! began, and waits for the next one, though it may have been met. **A flush counts when it has succeeded**, not when
//! it began: until then what it's to cover is still pending, and a second flush that comes meanwhile doesn't answer
//! early. A flush that failed, or was given up, never counts.
//!
//! All operations on the atomics are `SeqCst`, so that what can happen is what an interleaving of them can do, and the
//! test below goes through all of those.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use device::Losses;

/// Whether anything was changed that no flush has made durable.
///
/// Nothing here waits, or takes a lock.
#[derive(Debug, Default)]
pub struct Unflushed {
    /// The latest time that was given out.
    clock: AtomicU64,
    /// When the last change was noted.
    changed: AtomicU64,
    /// When the latest of the flushes that succeeded began.
    flushed: AtomicU64,
    losses: Losses,
}

/// A moment on the timeline, before which all changes that were answered were noted.
#[derive(Clone, Copy, Debug)]
pub struct Mark(u64);

/// A flush that began. Dropped, it never counts.
#[derive(Debug)]
#[must_use = "a flush counts when it's said that it succeeded"]
pub struct Epoch(u64);

impl Unflushed {
    /// Nothing was changed so far.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            clock: AtomicU64::new(0),
            changed: AtomicU64::new(0),
            flushed: AtomicU64::new(0),
            losses: Losses::new(),
        }
    }

    /// Something was changed, or may have been. To be called **after** the change, also after one that failed half-way,
    /// and before it's answered.
    pub fn note_change(&self) {
        let time = self.tick();
        self.set_changed(time);
    }

    /// A flush is about to begin. To be called **before** it.
    pub fn begin_flush(&self) -> Epoch {
        Epoch(self.tick())
    }

    /// The flush has succeeded: all that was noted before it began is durable.
    pub fn finish_flush(&self, epoch: Epoch) {
        self.flushed.fetch_max(epoch.0, SeqCst);
    }

    /// Whether something was changed that no flush has covered so far. While a flush runs, what it's to cover counts.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        let flushed = self.flushed.load(SeqCst);
        flushed < self.changed.load(SeqCst)
    }

    /// When the last change was noted: another one after each change.
    #[must_use]
    pub(crate) fn last_change(&self) -> u64 {
        self.changed.load(SeqCst)
    }

    /// Now, for [`has_flushed_since`](Self::has_flushed_since).
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark(self.clock.load(SeqCst))
    }

    /// Whether a flush that began after `mark` has succeeded: then all that was noted before the mark is durable.
    #[must_use]
    pub fn has_flushed_since(&self, mark: Mark) -> bool {
        self.flushed.load(SeqCst) > mark.0
    }

    /// What was lost: to be noted by whoever finds that a flush has failed, and asked for by those that must hear of it.
    #[must_use]
    pub fn lost(&self) -> &Losses {
        &self.losses
    }

    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, SeqCst) + 1
    }

    /// Two changes may come here in another order than their times: the later one counts.
    fn set_changed(&self, time: u64) {
        self.changed.fetch_max(time, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn what_was_changed_is_pending_until_a_flush_has_succeeded() {
        let unflushed = Unflushed::new();
        assert!(!unflushed.is_pending());
        unflushed.note_change();
        assert!(unflushed.is_pending());
        let epoch = unflushed.begin_flush();
        assert!(unflushed.is_pending(), "it has only begun");
        unflushed.finish_flush(epoch);
        assert!(!unflushed.is_pending());
    }

    #[test]
    fn a_flush_covers_nothing_that_came_after_its_begin() {
        let unflushed = Unflushed::new();
        let epoch = unflushed.begin_flush();
        unflushed.note_change();
        unflushed.finish_flush(epoch);
        assert!(unflushed.is_pending());
    }

    #[test]
    fn a_flush_that_failed_never_counts() {
        let unflushed = Unflushed::new();
        unflushed.note_change();
        let mark = unflushed.mark();
        drop(unflushed.begin_flush());
        assert!(unflushed.is_pending());
        assert!(!unflushed.has_flushed_since(mark));
    }

    #[test]
    fn a_flush_that_began_earlier_takes_nothing_back() {
        let unflushed = Unflushed::new();
        let early = unflushed.begin_flush();
        unflushed.note_change();
        let late = unflushed.begin_flush();
        unflushed.finish_flush(late);
        unflushed.finish_flush(early);
        assert!(!unflushed.is_pending());
    }

    #[test]
    fn a_flush_counts_since_a_mark_if_it_began_after_it() {
        let unflushed = Unflushed::new();
        let early = unflushed.begin_flush();
        let mark = unflushed.mark();
        unflushed.finish_flush(early);
        assert!(!unflushed.has_flushed_since(mark));
        let late = unflushed.begin_flush();
        assert!(!unflushed.has_flushed_since(mark));
        unflushed.finish_flush(late);
        assert!(unflushed.has_flushed_since(mark));
    }

    /// Changes, a bit for each writer.
    type Changes = u8;

    /// Two writers, two flushes, and one who asks, all at once, somewhere between two of their steps. A step is one
    /// operation on an atomic, or one of the world outside.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
    struct World {
        /// The steps that each has done.
        steps: [u8; 6],
        /// The values of the atomics: clock, changed, flushed.
        atomics: [u64; 3],
        made: Changes,
        durable: Changes,
        answered: Changes,
        /// Each one's time, or what it has read.
        times: [u64; 6],
        /// What was answered when the one who asks began.
        before: Changes,
    }

    const WRITERS: [usize; 2] = [0, 1];
    const FLUSHES: [usize; 2] = [2, 3];
    const MARKER: usize = 4;
    const ASKER: usize = 5;

    impl World {
        /// Does one step of `who`, with the type's own operations. Whether there was one left.
        fn step(&mut self, who: usize, fails: Option<usize>) -> bool {
            let unflushed = Unflushed {
                clock: self.atomics[0].into(),
                changed: self.atomics[1].into(),
                flushed: self.atomics[2].into(),
                losses: Losses::new(),
            };
            let bit = 1 << who;
            let (step, time) = (self.steps[who], &mut self.times[who]);
            match (who, step) {
                (0 | 1, 0) => self.made |= bit,
                // `note_change`, its two operations one by one.
                (0 | 1, 1) => *time = unflushed.tick(),
                (0 | 1, 2) => unflushed.set_changed(*time),
                (0 | 1, 3) => self.answered |= bit,
                (2 | 3, 0) => *time = unflushed.begin_flush().0,
                (2 | 3, 1) if fails == Some(who) => {}
                (2 | 3, 2) if fails == Some(who) => {}
                // What a flush meets: at least what was made before.
                (2 | 3, 1) => self.durable |= self.made,
                (2 | 3, 2) => unflushed.finish_flush(Epoch(*time)),
                (MARKER, 0) => {
                    self.before = self.answered;
                    *time = unflushed.mark().0;
                }
                (MARKER, 1) => {
                    if unflushed.has_flushed_since(Mark(*time)) {
                        assert_eq!(self.before & !self.durable, 0, "{self:?}");
                    }
                }
                // `is_pending`, its two operations one by one.
                (ASKER, 0) => {
                    self.before = self.answered;
                    *time = unflushed.flushed.load(SeqCst);
                }
                (ASKER, 1) => {
                    if *time >= unflushed.changed.load(SeqCst) {
                        assert_eq!(self.before & !self.durable, 0, "{self:?}");
                    }
                }
                _ => return false,
            }
            self.steps[who] += 1;
            let Unflushed {
                clock,
                changed,
                flushed,
                ..
            } = &unflushed;
            self.atomics = [clock, changed, flushed].map(|atomic| atomic.load(SeqCst));
            // In between, and all at once.
            if !unflushed.is_pending() {
                assert_eq!(self.answered & !self.durable, 0, "{self:?}");
            }
            true
        }
    }

    /// Goes through all interleavings of two writers, two flushes, and one who asks.
    fn all_interleavings(asks: usize, fails: Option<usize>) -> Vec<World> {
        let (mut seen, mut left, mut ends) = (HashSet::new(), vec![World::default()], Vec::new());
        while let Some(world) = left.pop() {
            let mut is_end = true;
            for who in [WRITERS[0], WRITERS[1], FLUSHES[0], FLUSHES[1], asks] {
                let mut next = world.clone();
                if next.step(who, fails) {
                    is_end = false;
                    if seen.insert(next.clone()) {
                        left.push(next);
                    }
                }
            }
            if is_end {
                ends.push(world);
            }
        }
        ends
    }

    /// What is answered and not pending is durable, at every moment.
    #[test]
    fn no_interleaving_takes_for_durable_what_is_not() {
        for asks in [MARKER, ASKER] {
            let ends = all_interleavings(asks, None);
            let all = WRITERS.iter().fold(0, |all, who| all | 1 << who);
            assert!(ends.iter().all(|end| end.answered == all));
            // It isn't that all is always pending, or never.
            let is_pending = |end: &World| end.atomics[2] < end.atomics[1];
            assert!(ends.iter().any(is_pending));
            assert!(!ends.iter().all(is_pending));
        }
    }

    #[test]
    fn nor_does_one_in_which_a_flush_fails() {
        for flush in FLUSHES {
            for asks in [MARKER, ASKER] {
                all_interleavings(asks, Some(flush));
            }
        }
    }
}
