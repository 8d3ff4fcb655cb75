//! What was changed since the last flush. Only this file knows in which order changes and flushes must be noted.
//!
//! There is one timeline, and each note gets a time of its own on it. **A change is noted after it was made, a flush
//! before it begins.** So if a flush has a later time than a change, the change was complete when the flush began, and
//! the flush covers it. A change that is made while a flush runs gets a later time if it's noted after the flush began.
//! Then it waits for the next flush, even if this one happened to cover it. **A flush counts when it has succeeded**,
//! not when it began: until then the changes that it covers are still pending, and a second flush that arrives
//! meanwhile doesn't return early. A flush that failed, or was given up, never counts.
//!
//! All operations on the atomics are `SeqCst`, so that every possible result is that of an interleaving, and the test
//! below tries all interleavings.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use device::Losses;

/// Whether there are changes that no flush has made durable.
///
/// No method waits or takes a lock.
#[derive(Debug, Default)]
pub struct Unflushed {
    /// The latest time that was assigned.
    clock: AtomicU64,
    /// The time of the latest change.
    changed: AtomicU64,
    /// The time of the latest flush that succeeded.
    flushed: AtomicU64,
    losses: Losses,
}

/// A moment on the timeline. Changes that were confirmed before it have earlier times.
#[derive(Clone, Copy, Debug)]
pub struct Mark(u64);

/// A flush that has begun. If this is dropped, the flush never counts.
#[derive(Debug)]
#[must_use = "a flush counts only after `finish_flush`"]
pub struct Epoch(u64);

impl Unflushed {
    /// Without changes.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            clock: AtomicU64::new(0),
            changed: AtomicU64::new(0),
            flushed: AtomicU64::new(0),
            losses: Losses::new(),
        }
    }

    /// Notes a change. To be called **after** the change, also after one that failed half-way, and before it's
    /// confirmed.
    pub fn note_change(&self) {
        let time = self.tick();
        self.set_changed(time);
    }

    /// Notes that a flush is about to begin. To be called **before** it.
    pub fn begin_flush(&self) -> Epoch {
        Epoch(self.tick())
    }

    /// Notes that the flush has succeeded: all changes that were noted before it began are durable.
    pub fn finish_flush(&self, epoch: Epoch) {
        self.check(epoch.0);
        self.flushed.fetch_max(epoch.0, SeqCst);
    }

    /// Whether there is a change that no flush has covered. While a flush runs, the changes that it will cover are
    /// still pending.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        let flushed = self.flushed.load(SeqCst);
        flushed < self.changed.load(SeqCst)
    }

    /// The time of the latest change: differs after each change.
    #[must_use]
    pub(crate) fn last_change(&self) -> u64 {
        self.changed.load(SeqCst)
    }

    /// The present moment, for [`has_flushed_since`](Self::has_flushed_since).
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark(self.clock.load(SeqCst))
    }

    /// Whether a flush that began after `mark` has succeeded: then all changes that were noted before the mark are
    /// durable.
    #[must_use]
    pub fn has_flushed_since(&self, mark: Mark) -> bool {
        self.check(mark.0);
        self.flushed.load(SeqCst) > mark.0
    }

    /// The losses: the code that finds a flush failed notes them, and [witnesses](device::Witness) learn of them.
    #[must_use]
    pub fn lost(&self) -> &Losses {
        &self.losses
    }

    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, SeqCst) + 1
    }

    /// Two changes may arrive here in another order than that of their times: the later time wins.
    fn set_changed(&self, time: u64) {
        self.changed.fetch_max(time, SeqCst);
    }

    /// Checks in debug builds that this record gave out `time`, so that no flush of another one counts here. The clock
    /// only goes forward, so other threads can't disturb that.
    fn check(&self, time: u64) {
        debug_assert!(time <= self.clock.load(SeqCst), "a time of another record");
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_change_is_pending_until_a_flush_has_succeeded() {
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
    fn a_flush_does_not_cover_a_change_after_its_begin() {
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

    /// Two writers, two flushes and one observer at some moment between their steps. A step is one operation on an
    /// atomic, or one on the disk.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
    struct World {
        /// How many steps each of them has done.
        steps: [u8; 6],
        /// The values of the atomics: clock, changed, flushed.
        atomics: [u64; 3],
        made: Changes,
        durable: Changes,
        answered: Changes,
        /// The time that each of them got, or the value that it has read.
        times: [u64; 6],
        /// The changes that were confirmed when the observer began.
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
                // A flush covers at least the changes that were made before it.
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
            // `is_pending` at once, at every moment.
            if !unflushed.is_pending() {
                assert_eq!(self.answered & !self.durable, 0, "{self:?}");
            }
            true
        }
    }

    /// Tries all interleavings of two writers, two flushes and one observer.
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

    /// A change that is confirmed and not pending is durable, at every moment.
    #[test]
    fn no_interleaving_takes_a_lost_change_for_durable() {
        for asks in [MARKER, ASKER] {
            let ends = all_interleavings(asks, None);
            let all = WRITERS.iter().fold(0, |all, who| all | 1 << who);
            assert!(ends.iter().all(|end| end.answered == all));
            // `is_pending` isn't constant.
            let is_pending = |end: &World| end.atomics[2] < end.atomics[1];
            assert!(ends.iter().any(is_pending));
            assert!(!ends.iter().all(is_pending));
        }
    }

    #[test]
    fn no_interleaving_with_a_failed_flush_does_either() {
        for flush in FLUSHES {
            for asks in [MARKER, ASKER] {
                all_interleavings(asks, Some(flush));
            }
        }
    }
}
