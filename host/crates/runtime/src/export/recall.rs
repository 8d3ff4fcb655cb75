//! What the host remembers of an immutable export: reads and extents that the plugin answers only once.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use device::Deadline;
use device::fault::Failure;
use device::reply::ReadReply;
use extent_map::{ExtentMap, Kind, Progress, Wanted};

use super::PluginLayer;
use crate::abi::interfaces::Interfaces;
use crate::abi::world::World;
use crate::export::carry_out::blob_failure;
use crate::instance::CallError;
use crate::instance::context::ExportContext;
use crate::mapping::{Location, ProbeGate, Region, RegionCache};

/// A region of fewer runs isn't worth a call of the plugin.
const LEAST_RUNS: usize = 16;

/// The most calls of `locate` for one read, whose bytes may lie in several tables. Restrains a plugin that reports
/// little in each call.
const QUESTIONS: usize = 8;

/// What the host remembers of one layer. A part is `None` if there's nothing for it to remember.
pub(super) struct Recall {
    mapping: Option<RegionCache<Location>>,
    extents: Option<RegionCache<Kind>>,
    gate: ProbeGate,
    stopped: AtomicBool,
}

impl Recall {
    /// Makes both parts, each with half of the limit `mapping`.
    pub(super) fn new(world: &World, ctx: &ExportContext, immutable: bool) -> Self {
        let (half, metrics) = (ctx.limits.mapping / 2, &ctx.metrics);
        let quota = &ctx.quota.memory;
        let mapping = RegionCache::new(half, Arc::clone(quota), Arc::clone(metrics));
        let extents = RegionCache::new(half, Arc::clone(quota), Arc::clone(metrics));
        let roomy = immutable && mapping.most_runs() >= LEAST_RUNS;
        Self {
            mapping: (roomy && world.has(Interfaces::MAPPABLE)).then_some(mapping),
            extents: (roomy && world.has(Interfaces::SPARSE)).then_some(extents),
            gate: ProbeGate::default(),
            stopped: AtomicBool::new(false),
        }
    }

    /// Forgets everything, for good. Called when the export has failed for good, because what it remembers mustn't
    /// outlive it.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.forget();
    }

    fn mapping(&self) -> Option<&RegionCache<Location>> {
        let stopped = self.stopped.load(Ordering::Relaxed);
        self.mapping.as_ref().filter(|_| !stopped)
    }

    fn extents(&self) -> Option<&RegionCache<Kind>> {
        let stopped = self.stopped.load(Ordering::Relaxed);
        self.extents.as_ref().filter(|_| !stopped)
    }

    /// Forgets everything, and returns the memory.
    pub(super) fn forget(&self) {
        if let Some(mapping) = &self.mapping {
            mapping.forget();
        }
        if let Some(extents) = &self.extents {
            extents.forget();
        }
    }
}

/// How far a reply was filled.
enum Filled {
    Wholly,
    /// The plugin has to compute a part of it.
    Computed,
    /// Up to this offset. What follows isn't known.
    To(u64),
}

impl PluginLayer {
    /// Fills `reply` from memory, and calls the plugin's `locate` for what isn't known. Returns `false`, and a reply as
    /// empty as before, if the plugin has to fill it.
    ///
    /// # Errors
    /// The call of `locate` stopped the plugin, no instance could be had for it, or a blob has shrunk.
    pub(super) async fn lookup(
        &self,
        deadline: &Deadline,
        offset: u64,
        length: u32,
        reply: &mut ReadReply,
    ) -> Result<bool, Failure> {
        let Some(mapping) = self.recall.mapping() else {
            return Ok(false);
        };
        let range = offset..offset + u64::from(length);
        for _ in 0..QUESTIONS {
            match fill(mapping, &range, reply) {
                Filled::Wholly => return self.looked_up(length, reply),
                Filled::Computed => break,
                Filled::To(at) if self.locate(deadline, mapping, at..range.end).await? => {
                    reply.reset(length);
                }
                Filled::To(_) => break,
            }
        }
        reply.reset(length);
        Ok(false)
    }

    /// Finishes a filled reply. Checks again that each piece is inside its blob, because the blob may have shrunk.
    fn looked_up(&self, length: u32, reply: &mut ReadReply) -> Result<bool, Failure> {
        if reply.finish().is_err() {
            // The reply has too many pieces. The plugin may know a way with fewer.
            reply.reset(length);
            return Ok(false);
        }
        for read in reply.reads() {
            let inside = match self.ctx.grants.blobs.get(read.blob as usize) {
                Some(blob) => blob.check(read.offset, read.length.into()),
                None => Ok(()),
            };
            inside.map_err(|error| blob_failure(&self.ctx, &error))?;
        }
        self.ctx.metrics.recalled_reads.one();
        Ok(true)
    }

    /// Calls `locate` for the first byte of `wanted`. Returns `false` if the byte is still unknown.
    async fn locate(
        &self,
        deadline: &Deadline,
        mapping: &RegionCache<Location>,
        wanted: Range<u64>,
    ) -> Result<bool, Failure> {
        let Some(probe) = self.recall.gate.take() else {
            return Ok(false);
        };
        let at = wanted.start;
        let draft = crate::mapping::Draft::new(at, self.terms.export.size, mapping.most_runs());
        self.ctx.metrics.located.one();
        let mut lease = self.acquire(deadline).await?;
        let called = lease.instance().locate(deadline, draft, wanted).await;
        let fatal = matches!(called, Err(CallError::Fatal(_)));
        match self.finish_call(lease, called) {
            Ok(draft) => {
                let region = draft.finish();
                let learnt = region.is_some_and(|region| mapping.insert(at, &region));
                if learnt {
                    probe.fruitful();
                } else {
                    probe.fruitless();
                }
                Ok(learnt)
            }
            Err(failure) if fatal => {
                probe.last();
                Err(failure)
            }
            Err(failure) => {
                self.ctx.metrics.blame(&failure);
                probe.fruitless();
                Ok(false)
            }
        }
    }

    /// Answers a request for extents from memory: all of its range, or only the first extent if it needs only that.
    /// Returns `false`, and an empty map, if the plugin has to answer.
    pub(super) fn lookup_extents(&self, map: &mut ExtentMap) -> bool {
        let Some(extents) = self.recall.extents() else {
            return false;
        };
        let range = map.range().clone();
        let mut full = false;
        let known_until = extents.lookup(&range, |run, kind| {
            let added = map.add(run.start, run.end - run.start, kind);
            full = added != Ok(Progress::More);
            if full {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        let enough = match map.wanted() {
            Wanted::One => known_until > range.start,
            Wanted::All => full || known_until == range.end,
        };
        // Where the lookup stopped, the reply becomes shorter.
        if !enough || map.end_at(known_until).is_err() {
            map.clear();
            return false;
        }
        self.ctx.metrics.recalled_extents.one();
        true
    }

    /// Returns a map for all extents of the range, if the request needs only the first one and the host remembers
    /// extents. The guest is entered once in either case, and the client's next requests need no call.
    pub(super) fn wider_question(&self, map: &ExtentMap) -> Option<Box<ExtentMap>> {
        let extents = self.recall.extents()?;
        let most = extents.most_runs().min(self.ctx.limits.extents);
        (map.wanted() == Wanted::One)
            .then(|| ExtentMap::new(map.range().clone(), Wanted::All, most).ok())
            .flatten()
            .map(Box::new)
    }

    /// Remembers extents that the plugin reported. It doesn't remember what counts as data because the plugin reported
    /// nothing.
    pub(super) fn insert_extents(&self, map: &ExtentMap) {
        let Some(extents) = self.recall.extents() else {
            return;
        };
        let (start, told) = (map.range().start, map.told().min(map.end()));
        let mut known: Option<Region<Kind>> = None;
        for extent in map.iter() {
            let end = (extent.offset + extent.length).min(told);
            let full = known
                .as_ref()
                .is_some_and(|region| region.runs() >= extents.most_runs());
            if extent.offset >= end || full {
                break;
            }
            match &mut known {
                None => known = Region::new(extent.offset..end, extent.kind),
                Some(region) => region.push(end - extent.offset, extent.kind),
            }
        }
        if let Some(region) = known {
            let _room_or_not = extents.insert(start, &region);
        }
    }
}

/// Copies to the empty `map` what `from` has of the same range.
pub(super) fn copy(from: &ExtentMap, map: &mut ExtentMap) {
    let told = from.told().min(from.end());
    for extent in from.iter().take_while(|extent| extent.offset < told) {
        let length = extent.length.min(told - extent.offset);
        if !matches!(
            map.add(extent.offset, length, extent.kind),
            Ok(Progress::More)
        ) {
            break;
        }
    }
    // From the end of `from` on, nothing is known. Below it, a range that the plugin reported nothing of stays data.
    if from.end() < map.range().end {
        let _budget_left = map.end_at(from.end());
    }
}

/// Fills an empty reply from memory, as far as that goes.
fn fill(mapping: &RegionCache<Location>, range: &Range<u64>, reply: &mut ReadReply) -> Filled {
    let mut computed = false;
    let end = mapping.lookup(range, |run, place| {
        let length = run.end - run.start;
        match place {
            Location::Zero => reply.zeroes(length),
            Location::Blob { blob, offset } => reply.blob(blob, offset, length),
            Location::Computed => {
                computed = true;
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    });
    match end {
        _ if computed => Filled::Computed,
        end if end == range.end => Filled::Wholly,
        end => Filled::To(end),
    }
}
