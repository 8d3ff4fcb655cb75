//! What is remembered of a file's holes, for as long as the file says of itself that nothing has changed.
//!
//! It's looked at for each question, which is one system call in place of two for each extent. A change shows in size,
//! blocks or timestamps. Those are coarse (a tick of the kernel's), so that an answer that was found just after a change
//! isn't kept: another change could come in the same tick. A write sets the timestamps when it begins, and may fill a
//! hole long after; what is written through us is therefore known by its end.

use std::ops::Range;
use std::os::unix::fs::MetadataExt as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::FileSource;
use super::hole_map::HoleMap;
use crate::source::SourceExtent;

/// Changes that are closer to each other may have the same timestamp.
const COARSE: Duration = Duration::from_millis(20);

/// What is different after a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    size: u64,
    blocks: u64,
    /// Seconds and nanoseconds, as for the next.
    modified: (i64, i64),
    changed: (i64, i64),
    /// When something was last written through us.
    written: u64,
}

/// What is remembered, and since when it holds.
#[derive(Debug, Default)]
pub(super) struct Holes(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    map: HoleMap,
    stamp: Option<Stamp>,
}

impl FileSource {
    /// What the file says of itself now; `None` where that says nothing of its holes, or can't be had. Blocks.
    pub(super) fn stamp(&self) -> Option<Stamp> {
        if !self.facts().extents_known {
            return None;
        }
        let written = self.unflushed().last_change();
        let stat = self.file().metadata().ok()?;
        Some(Stamp {
            size: stat.size(),
            blocks: stat.blocks(),
            modified: (stat.mtime(), stat.mtime_nsec()),
            changed: (stat.ctime(), stat.ctime_nsec()),
            written,
        })
    }
}

impl Stamp {
    /// The file's size in bytes.
    pub(super) fn size(self) -> u64 {
        self.size
    }

    /// Whether what is found now is told from what will be found after another change.
    pub(super) fn is_settled(self, now: SystemTime) -> bool {
        let (seconds, nanoseconds) = self.modified.max(self.changed);
        let last = match (u64::try_from(seconds), u32::try_from(nanoseconds)) {
            (Ok(seconds), Ok(nanoseconds)) => Duration::new(seconds, nanoseconds),
            _ => Duration::ZERO,
        };
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        // Of a clock that is ahead, another machine's maybe, nothing can be said.
        now.checked_sub(last).is_some_and(|since| since >= COARSE)
    }
}

impl Holes {
    /// What is known from the start of `range` on without a gap: at most `most` extents. Forgets what doesn't hold any
    /// more.
    pub(super) fn recall(&self, now: Stamp, range: &Range<u64>, most: usize) -> Vec<SourceExtent> {
        let mut state = self.state();
        if state.stamp != Some(now) {
            state.forget();
            return Vec::new();
        }
        state.map.lookup(range, most)
    }

    /// Remembers what was found while the file was, and stayed, as `stamp` says; it's settled.
    pub(super) fn remember(&self, stamp: Stamp, found: &[SourceExtent]) {
        let mut state = self.state();
        if state.stamp != Some(stamp) {
            state.forget();
            state.stamp = Some(stamp);
        }
        found.iter().for_each(|extent| state.map.insert(extent));
    }

    /// Gives the memory back.
    pub(super) fn forget(&self) {
        self.state().forget();
    }

    /// Bytes of memory that it takes.
    pub(super) fn bytes(&self) -> usize {
        self.state().map.bytes()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What it holds is whole at any time.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn forget(&mut self) {
        self.map.clear();
        self.stamp = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(modified: Duration, changed: Duration) -> Stamp {
        let pair = |time: Duration| {
            let seconds = i64::try_from(time.as_secs()).unwrap();
            (seconds, i64::from(time.subsec_nanos()))
        };
        Stamp {
            size: 4096,
            blocks: 8,
            modified: pair(modified),
            changed: pair(changed),
            written: 0,
        }
    }

    #[test]
    fn an_answer_of_just_after_a_change_is_not_kept() {
        let at = |milliseconds: u64| Duration::from_millis(1_000_000 + milliseconds);
        for (modified, changed, now, settled) in [
            (at(0), at(0), at(20), true),
            (at(0), at(0), at(19), false),
            (at(0), at(1), at(20), false),
            (at(1), at(0), at(20), false),
            (at(50), at(50), at(20), false),
        ] {
            let is_settled = stamp(modified, changed).is_settled(UNIX_EPOCH + now);
            assert_eq!(is_settled, settled, "{modified:?}, {changed:?}, {now:?}");
        }
    }

    #[test]
    fn after_any_change_nothing_is_remembered() {
        let old = stamp(Duration::ZERO, Duration::ZERO);
        let hole = SourceExtent {
            offset: 0,
            length: 4096,
            data: false,
        };
        for new in [
            Stamp { size: 8192, ..old },
            Stamp { blocks: 16, ..old },
            Stamp {
                modified: (0, 1),
                ..old
            },
            Stamp {
                changed: (1, 0),
                ..old
            },
            Stamp { written: 1, ..old },
        ] {
            let holes = Holes::default();
            holes.remember(old, &[hole]);
            assert_eq!(holes.recall(old, &(0..4096), 9), [hole]);
            assert_eq!(holes.recall(new, &(0..4096), 9), []);
            assert_eq!(holes.bytes(), 0);
        }
    }
}
