//! The known regions of one export, within a bound.

use std::collections::BTreeMap;
use std::mem::size_of;
use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use device::metrics::Metrics;
use quota::{MemoryCharge, MemoryQuota};

use super::{Region, Value};

/// Bytes that a region costs in addition to its runs: its node in the tree, and its charge.
const OVERHEAD: u64 = 192;

/// The most runs of one region, whatever the limit. Restrains the plugin, which reports them in one call.
const RUNS: usize = 16_384;

/// Regions that don't overlap, found by offset. Readers don't wait for each other.
///
/// The cache holds at most `limit` bytes. It charges each to the quota and counts it. To make room, it evicts regions
/// that no request has used since it last looked for room (the clock algorithm of page replacement).
#[derive(Debug)]
pub(crate) struct RegionCache<V> {
    limit: u64,
    quota: Arc<MemoryQuota>,
    metrics: Arc<Metrics>,
    state: RwLock<State<V>>,
}

#[derive(Debug)]
struct State<V> {
    /// The regions, by their first byte.
    regions: BTreeMap<u64, Kept<V>>,
    /// Bytes that the regions take.
    held: u64,
    /// The offset from which the search for room continues.
    hand: u64,
}

#[derive(Debug)]
struct Kept<V> {
    region: Region<V>,
    paid: Paid,
    /// Whether a request has used the region since the hand passed it.
    used: AtomicBool,
}

/// The charge for a region. Dropping it returns the bytes.
#[derive(Debug)]
struct Paid {
    share: MemoryCharge,
    metrics: Arc<Metrics>,
}

impl<V: Value> RegionCache<V> {
    /// An empty cache. `limit` is in bytes; 0 keeps nothing.
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

    /// The most runs that a region should have, so that the cache has room for two such regions.
    #[must_use]
    pub(crate) fn most_runs(&self) -> usize {
        let room = (self.limit / 2).saturating_sub(OVERHEAD) / run_size::<V>();
        usize::try_from(room).map_or(RUNS, |room| room.min(RUNS))
    }

    /// Passes the known runs from `range.start` on to `show`, in order and without a gap, up to the range's end or
    /// until `show` breaks. Returns the end of the last run that it passed, or `range.start` if there was none.
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

    /// Keeps the new part of a region around the byte at `wanted`. Returns `false` if it kept nothing: the limit or the
    /// tenant's quota has no room, or another request was faster.
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

    /// Evicts all regions.
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
        // Read first: as long as no core writes the flag, all cores share its cache line.
        if !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
        }
    }
}

impl<V: Value> State<V> {
    /// The region that contains the byte at `offset`.
    fn at(&self, offset: u64) -> Option<&Kept<V>> {
        let (_, kept) = self.regions.range(..=offset).next_back()?;
        (offset < kept.region.end()).then_some(kept)
    }

    /// The unknown range around the byte at `offset`; empty if that byte is known.
    fn gap(&self, offset: u64) -> Range<u64> {
        let below = self.regions.range(..=offset).next_back();
        let start = below.map_or(0, |(_, kept)| kept.region.end());
        let above = self.regions.range(offset..).next();
        let end = above.map_or(u64::MAX, |(start, _)| *start);
        if start > offset { 0..0 } else { start..end }
    }

    /// Evicts regions until they take at most `most` bytes, or none is left.
    fn make_room(&mut self, most: u64) {
        while self.held > most {
            let above = self.regions.range(self.hand..).next();
            let Some((&start, kept)) = above.or_else(|| self.regions.iter().next()) else {
                return;
            };
            // The hand spares each region at most once, so the loop ends.
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

    /// The true value of each byte of the disk: runs of eight bytes, of three kinds.
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

    /// Whether the byte is known. Doesn't count as a use.
    fn knows(memory: &RegionCache<Location>, at: u64) -> bool {
        memory.read().at(at).is_some()
    }

    /// Compares the cache with the truth, byte by byte: each value that it returns was inserted, is true, and has no
    /// gap before it. The limit and the quota hold.
    #[test]
    fn lookups_return_the_truth_whatever_was_inserted_and_evicted() {
        for seed in 1..40 {
            let mut random = fastrand::Rng::with_seed(seed);
            let limit = 2000 + random.u64(..20_000);
            let (memory, quota) = memory(limit);
            let mut learnt = BTreeSet::new();
            for _ in 0..300 {
                let start = random.u64(..SIZE);
                let end = start + 1 + random.u64(..(SIZE - start).min(200));
                if random.u64(..2) == 0 {
                    let wanted = start + random.u64(..end - start);
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
    fn used_regions_outlive_unused_ones() {
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
    fn without_room_nothing_is_kept() {
        let (small, _) = memory(OVERHEAD);
        assert!(!small.insert(0, &region(0..8)));
        let quota = MemoryQuota::new(Holder::Tenant, 100);
        let poor = RegionCache::new(1 << 20, Arc::clone(&quota), Arc::default());
        assert!(!poor.insert(0, &region(0..8)));
        assert_eq!((poor.read().held, quota.used()), (0, 0));
        assert_eq!(memory(0).0.most_runs(), 0);
    }
}
