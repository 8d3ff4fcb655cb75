//! Known regions of one export, bounded.

use std::collections::BTreeMap;
use std::mem::size_of;
use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use device::metrics::Metrics;
use quota::{MemoryCharge, MemoryQuota};

use super::{Region, Value};

/// What a region costs beside its runs, in bytes: its place in the tree, its share of the quota.
const OVERHEAD: u64 = 192;

/// The most runs of one region, whatever the limit. Restrains the plugin: they're told in one call.
const RUNS: usize = 16_384;

/// Regions that don't overlap, found by offset. Readers don't wait for each other.
///
/// Holds `limit` bytes at most, each charged to the quota and counted. When there's no room those regions go that
/// weren't asked for since the last time that room was looked for (the "clock" of page replacement).
#[derive(Debug)]
pub(crate) struct RegionCache<V> {
    limit: u64,
    quota: Arc<MemoryQuota>,
    metrics: Arc<Metrics>,
    state: RwLock<State<V>>,
}

#[derive(Debug)]
struct State<V> {
    /// By their first byte.
    regions: BTreeMap<u64, Kept<V>>,
    /// Bytes that they take.
    held: u64,
    /// Where the search for room goes on.
    hand: u64,
}

#[derive(Debug)]
struct Kept<V> {
    region: Region<V>,
    paid: Paid,
    /// It was asked for since the hand came by.
    used: AtomicBool,
}

/// What a region takes, for as long as it's there.
#[derive(Debug)]
struct Paid {
    share: MemoryCharge,
    metrics: Arc<Metrics>,
}

impl<V: Value> RegionCache<V> {
    /// Nothing known so far.
    #[must_use]
    pub(crate) fn new(limit: u64, quota: Arc<MemoryQuota>, metrics: Arc<Metrics>) -> Self {
        Self {
            limit,
            quota,
            metrics,
            state: RwLock::new(State {
                regions: BTreeMap::new(),
                held: 0,
                hand: 0,
            }),
        }
    }

    /// The most runs that a region should have: so that there's room for two.
    #[must_use]
    pub(crate) fn most_runs(&self) -> usize {
        let room = (self.limit / 2).saturating_sub(OVERHEAD) / run_size::<V>();
        usize::try_from(room).map_or(RUNS, |room| room.min(RUNS))
    }

    /// Shows the runs from `range.start` on that are known, in order and without a gap, up to the range's
    /// end or until it's told to stop. Returns the end of what was shown.
    pub(crate) fn lookup(
        &self,
        range: &Range<u64>,
        mut show: impl FnMut(Range<u64>, V) -> ControlFlow<()>,
    ) -> u64 {
        let state = self.read();
        let mut at = range.start;
        while at < range.end
            && let Some(kept) = state.at(at)
        {
            kept.note_use();
            let end = kept.region.end().min(range.end);
            for (run, value) in kept.region.within(at..end) {
                at = run.end;
                if show(run, value).is_break() {
                    return at;
                }
            }
        }
        at
    }

    /// Keeps what is new of a region around the byte at `wanted`. `false`: nothing, for there's no room
    /// within the limit or the tenant's quota, or somebody else was faster.
    pub(crate) fn insert(&self, wanted: u64, region: &Region<V>) -> bool {
        let mut state = self.write();
        let Some(mut region) = region.cut(&state.gap(wanted)) else {
            return false;
        };
        region.shrink();
        let size = OVERHEAD + region.runs() as u64 * run_size::<V>();
        state.make_room(self.limit.saturating_sub(size));
        if state.held.saturating_add(size) > self.limit {
            return false;
        }
        let Some(paid) = self.pay(size) else {
            return false;
        };
        state.held += size;
        let kept = Kept {
            paid,
            used: AtomicBool::new(false),
            region,
        };
        state.regions.insert(kept.region.start(), kept);
        true
    }

    fn pay(&self, bytes: u64) -> Option<Paid> {
        let mut share = MemoryCharge::new(Arc::clone(&self.quota));
        share.take(bytes).ok()?;
        self.metrics.remembered.rise(bytes);
        let metrics = Arc::clone(&self.metrics);
        Some(Paid { share, metrics })
    }

    /// Gives all of it back.
    pub(crate) fn forget(&self) {
        let mut state = self.write();
        state.held = 0;
        let forgotten = std::mem::take(&mut state.regions);
        drop(state);
        drop(forgotten);
    }

    fn read(&self) -> RwLockReadGuard<'_, State<V>> {
        // Nothing that holds the lock panics half-way through a change.
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State<V>> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Paid {
    fn drop(&mut self) {
        self.metrics.remembered.fall(self.share.held());
    }
}

impl<V> Kept<V> {
    fn note_use(&self) {
        // Read first: a line that nobody writes is shared by all cores.
        if !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
        }
    }
}

impl<V: Value> State<V> {
    /// The region that holds the byte at `offset`.
    fn at(&self, offset: u64) -> Option<&Kept<V>> {
        let (_, kept) = self.regions.range(..=offset).next_back()?;
        (offset < kept.region.end()).then_some(kept)
    }

    /// The unknown stretch around the byte at `offset`; empty if that is known.
    fn gap(&self, offset: u64) -> Range<u64> {
        let below = self.regions.range(..=offset).next_back();
        let start = below.map_or(0, |(_, kept)| kept.region.end());
        let above = self.regions.range(offset..).next();
        let end = above.map_or(u64::MAX, |(start, _)| *start);
        if start > offset { 0..0 } else { start..end }
    }

    /// Forgets regions until at most `most` bytes are held, or none.
    fn make_room(&mut self, most: u64) {
        while self.held > most {
            let above = self.regions.range(self.hand..).next();
            let Some((&start, kept)) = above.or_else(|| self.regions.iter().next()) else {
                return;
            };
            // Each one is spared once at most, so this ends.
            let spared = kept.used.swap(false, Ordering::Relaxed);
            self.hand = start.saturating_add(1);
            if !spared && let Some(kept) = self.regions.remove(&start) {
                self.held -= kept.paid.share.held();
            }
        }
    }
}

const fn run_size<V>() -> u64 {
    size_of::<(u64, V)>() as u64
}

#[cfg(test)]
mod tests {
    use quota::Holder;

    use std::collections::BTreeSet;

    use super::*;
    use crate::mapping::Location;

    const SIZE: u64 = 1000;

    /// What the byte at `offset` of the disk is in truth: runs of eight bytes, of three sorts.
    fn truth(offset: u64) -> Location {
        match offset / 8 % 3 {
            0 => Location::Zero,
            1 => Location::Computed,
            _ => Location::Blob {
                blob: 7,
                offset: 10_000 - offset / 8 * 16 + offset % 8,
            },
        }
    }

    fn region(range: Range<u64>) -> Region<Location> {
        let mut region = Region::new(range.start..range.start + 1, truth(range.start)).unwrap();
        (range.start + 1..range.end).for_each(|at| region.push(1, truth(at)));
        region
    }

    fn memory(limit: u64) -> (RegionCache<Location>, Arc<MemoryQuota>) {
        let quota = MemoryQuota::new(Holder::Tenant, limit);
        let memory = RegionCache::new(limit, Arc::clone(&quota), Arc::default());
        (memory, quota)
    }

    /// Numbers that look random, the same in each run.
    fn dice(seed: u64) -> impl FnMut(u64) -> u64 {
        let mut state = seed | 1;
        move |sides| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % sides
        }
    }

    /// Whether it knows of a byte, which isn't asked for by that.
    fn knows(memory: &RegionCache<Location>, at: u64) -> bool {
        memory.read().at(at).is_some()
    }

    /// Byte by byte: what is recalled was learnt, is the truth, and has no gap; the bound
    /// and the quota hold.
    #[test]
    fn whatever_is_learnt_and_forgotten_recall_tells_the_truth() {
        for seed in 1..40 {
            let mut dice = dice(seed * 0x9e37_79b9);
            let limit = 2000 + dice(20_000);
            let (memory, quota) = memory(limit);
            let mut learnt = BTreeSet::new();
            for _ in 0..300 {
                let start = dice(SIZE);
                let end = start + 1 + dice((SIZE - start).min(200));
                if dice(2) == 0 {
                    let wanted = start + dice(end - start);
                    let known = knows(&memory, wanted);
                    let new = memory.insert(wanted, &region(start..end));
                    assert!(!(known && new));
                    assert_eq!(knows(&memory, wanted), known || new);
                    if new {
                        learnt.extend(start..end);
                    }
                }
                let mut at = start;
                let known = memory.lookup(&(start..end), |run, value| {
                    assert_eq!(run.start, at, "no gap");
                    at = run.end;
                    for byte in run.clone() {
                        assert!(learnt.contains(&byte));
                        assert_eq!(value.after(byte - run.start), truth(byte));
                    }
                    ControlFlow::Continue(())
                });
                assert_eq!(known, at);
                assert!(memory.read().held <= limit);
                assert_eq!(memory.read().held, quota.used());
                assert_eq!(memory.read().held, memory.metrics.remembered.now());
            }
            memory.forget();
            assert_eq!((memory.read().held, quota.used()), (0, 0));
            assert_eq!(memory.metrics.remembered.now(), 0);
        }
    }

    #[test]
    fn what_is_asked_for_outlives_what_is_not() {
        let (memory, _) = memory(4 * (OVERHEAD + 4 * run_size::<Location>()));
        let known = |at| knows(&memory, at);
        let ask = |at: u64| memory.lookup(&(at..at + 1), |_, _| ControlFlow::Break(()));
        for start in (0..900).step_by(30) {
            assert!(memory.insert(start, &region(start..start + 16)));
            let _shown = ask(0);
        }
        assert!(known(0) && known(870));
        assert!(!known(30) && !known(300));
    }

    #[test]
    fn without_room_nothing_is_learnt() {
        let (small, _) = memory(OVERHEAD);
        assert!(!small.insert(0, &region(0..8)));
        let quota = MemoryQuota::new(Holder::Tenant, 100);
        let poor = RegionCache::new(1 << 20, Arc::clone(&quota), Arc::default());
        assert!(!poor.insert(0, &region(0..8)));
        assert_eq!((poor.read().held, quota.used()), (0, 0));
        assert_eq!(memory(0).0.most_runs(), 0);
    }
}
