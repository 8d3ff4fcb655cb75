//! What the host remembers of an export that never changes: reads and extents that its plugin answers only
//! once.

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

/// Fewer runs than these aren't worth asking for.
const LEAST_RUNS: usize = 16;

/// Questions for one read, whose bytes may lie in several tables. Restrains a plugin that tells little at
/// a time.
const QUESTIONS: usize = 8;

/// The memory of one export. Its parts are there only where there is something to remember.
pub(super) struct Recall {
    mapping: Option<RegionCache<Location>>,
    extents: Option<RegionCache<Kind>>,
    gate: ProbeGate,
    stopped: AtomicBool,
}

impl Recall {
    /// Half of the limit for each part.
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

    /// The export has failed for good: what is remembered doesn't outlive it.
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

    /// Gives its memory back.
    pub(super) fn forget(&self) {
        if let Some(mapping) = &self.mapping {
            mapping.forget();
        }
        if let Some(extents) = &self.extents {
            extents.forget();
        }
    }
}

/// How far a reply could be filled.
enum Filled {
    Wholly,
    /// Something in it has to be made by the plugin.
    Computed,
    /// Not known from here on.
    To(u64),
}

impl PluginLayer {
    /// Fills `reply` by what is remembered, having asked for that where it's unknown. `false`: the plugin
    /// has to, and the reply is as empty as before.
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

    /// What was filled is sent only if every piece is still inside its blob.
    fn looked_up(&self, length: u32, reply: &mut ReadReply) -> Result<bool, Failure> {
        if reply.finish().is_err() {
            // In too many pieces: the plugin knows what it can do.
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

    /// Asks the plugin where the first byte of `wanted` is. `false`: that isn't known now.
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

    /// Answers a question about extents by what is remembered: all of it, or one extent where only that is
    /// wanted. `false`: the plugin has to.
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
        // Where it was told to stop: a shorter reply.
        if !enough || map.end_at(known_until).is_err() {
            map.clear();
            return false;
        }
        self.ctx.metrics.recalled_extents.one();
        true
    }

    /// What to ask for in place of one extent: all, where they're remembered. It's one guest call either way,
    /// and the client's next questions, each for one more, need none.
    pub(super) fn wider_question(&self, map: &ExtentMap) -> Option<Box<ExtentMap>> {
        let extents = self.recall.extents()?;
        let most = extents.most_runs().min(self.ctx.limits.extents);
        (map.wanted() == Wanted::One)
            .then(|| ExtentMap::new(map.range().clone(), Wanted::All, most).ok())
            .flatten()
            .map(Box::new)
    }

    /// Remembers what a plugin said, not what was taken for data because it said nothing.
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

/// Says in an empty `map` what was said of the same range in `from`.
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
    // The first of these bounds is the end of what is known; an answer that says nothing stays data.
    if from.end() < map.range().end {
        let _budget_left = map.end_at(from.end());
    }
}

/// Fills an empty reply as far as what is remembered goes.
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
