//! A file's holes, remembered as long as the file's metadata shows no change.
//!
//! The host checks the metadata for each request: one system call instead of two for each extent. A change shows in the
//! size, the blocks or the timestamps. Timestamps are coarse (a tick of the kernel), so an answer that was found just
//! after a change isn't remembered: another change could come in the same tick. A write sets the timestamps when it
//! begins, and may fill a hole long after that; so for writes by this process, the host also compares their ends.

use std::ops::Range;
use std::os::unix::fs::MetadataExt as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::FileSource;
use super::hole_map::HoleMap;
use crate::source::SourceExtent;

/// Changes within this time of each other may have the same timestamp.
const COARSE: Duration = Duration::from_millis(20);

/// Metadata that differs after a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    size: u64,
    blocks: u64,
    /// Seconds and nanoseconds; the same for `changed`.
    modified: (i64, i64),
    changed: (i64, i64),
    /// The time of the latest change by this process, on the timeline of `Unflushed`.
    written: u64,
}

/// The remembered holes, and the metadata for which they hold.
#[derive(Debug, Default)]
pub(super) struct Holes(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    map: HoleMap,
    stamp: Option<Stamp>,
}

impl FileSource {
    /// The file's present metadata; `None` if it has no known extents, or if the kernel doesn't report the metadata.
    /// Blocks.
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

    /// Whether any later change will show in the metadata: the latest one is long enough ago.
    pub(super) fn is_settled(self, now: SystemTime) -> bool {
        let (seconds, nanoseconds) = self.modified.max(self.changed);
        let last = match (u64::try_from(seconds), u32::try_from(nanoseconds)) {
            (Ok(seconds), Ok(nanoseconds)) => Duration::new(seconds, nanoseconds),
            _ => Duration::ZERO,
        };
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        // If the file's clock is ahead, as another machine's may be, this isn't known.
        now.checked_sub(last).is_some_and(|since| since >= COARSE)
    }
}

impl Holes {
    /// The remembered extents from the start of `range` on, without gaps: at most `most`. Forgets all if the file has
    /// changed.
    pub(super) fn recall(&self, now: Stamp, range: &Range<u64>, most: usize) -> Vec<SourceExtent> {
        let mut state = self.state();
        if state.stamp != Some(now) {
            state.forget();
            return Vec::new();
        }
        state.map.lookup(range, most)
    }

    /// Remembers extents that were found while the metadata was, and stayed, `stamp`, which is settled.
    pub(super) fn remember(&self, stamp: Stamp, found: &[SourceExtent]) {
        let mut state = self.state();
        if state.stamp != Some(stamp) {
            state.forget();
            state.stamp = Some(stamp);
        }
        found.iter().for_each(|extent| state.map.insert(extent));
    }

    /// Releases the memory.
    pub(super) fn forget(&self) {
        self.state().forget();
    }

    /// The memory that it takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.state().map.bytes()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code panics half-way through a change while it holds the lock.
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
    fn an_answer_just_after_a_change_is_not_remembered() {
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
