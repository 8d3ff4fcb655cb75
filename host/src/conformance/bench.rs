//! The bench for a device under test: calls that record what they used and what failed.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use device::fault::{Failure, Fault};
use device::reply::ReadReply;
use device::{Deadline, Device, Terms};
use extent_map::{Extent, ExtentMap, Wanted};
use nbd_proto::ExportFlags;
use nbd_proto::limits::MAX_PAYLOAD;

use super::dice::Dice;
use super::rule::Rule;
use super::subject::Subject;
use super::verdict::{Stop, broken};
use super::{Claims, Plan};

/// Bytes of a window: enough for the clusters of most formats.
const WINDOW: u64 = 64 << 10;

/// The most extents that the bench follows to find places worth a test.
const WALK: usize = 64;

/// The device of the current rule, on the bench.
pub(super) struct Bench<'a, S: Subject> {
    pub(super) subject: &'a S,
    pub(super) plan: Plan,
    pub(super) dice: Dice,
    device: Option<Arc<S::Device>>,
    pub(super) stock: Stock,
}

/// What the bench has recorded in all rules so far.
#[derive(Debug, Default)]
pub(super) struct Stock {
    pub(super) calls: u64,
    /// The plugin's faults, as text.
    pub(super) faults: Vec<String>,
    pub(super) memory: u64,
    pub(super) cpu: Duration,
    pub(super) handles: u32,
    /// The most adds in one report.
    pub(super) adds: u64,
    pub(super) pieces: usize,
}

/// What one report covers.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) extents: Vec<Extent>,
    /// The end of the last extent; nothing is known from here on.
    pub(super) end: u64,
}

impl<'a, S: Subject> Bench<'a, S> {
    pub(super) fn new(subject: &'a S, plan: Plan) -> Self {
        Self {
            subject,
            plan,
            dice: Dice::new(plan.seed),
            device: None,
            stock: Stock::default(),
        }
    }

    /// Opens a device for a rule, and restarts the seed's numbers for it, so that a rule alone makes the same calls as
    /// among the others.
    pub(super) async fn renew(&mut self, rule: Rule) -> Result<(), Stop> {
        self.dice = Dice::new(self.plan.seed ^ u64::from(rule as u8) << 56);
        self.device = Some(self.another().await?);
        Ok(())
    }

    /// Opens one more device.
    pub(super) async fn another(&self) -> Result<Arc<S::Device>, Stop> {
        let opened = self.subject.open().await;
        opened.map_err(|error| Stop::Broken(format!("the export can't be opened again: {error:#}")))
    }

    /// Opens one more device, whose reads use the plugin's mapping.
    pub(super) async fn mapped(&self) -> Result<Arc<S::Device>, Stop> {
        let opened = self.subject.open_mapped().await;
        opened.map_err(|error| Stop::Broken(format!("the export can't be opened again: {error:#}")))
    }

    /// Records what the rule's device has used.
    pub(super) fn take_stock(&mut self) {
        if let Some(device) = &self.device {
            let peaks = self.subject.peaks(device);
            self.stock.memory = self.stock.memory.max(peaks.memory());
            self.stock.cpu = self.stock.cpu.max(peaks.cpu());
            self.stock.handles = self.stock.handles.max(peaks.handles());
        }
    }

    pub(super) fn device(&self) -> Arc<S::Device> {
        let device = self.device.as_ref();
        Arc::clone(device.expect("`renew` comes before every rule, and its failure ends the rule"))
    }

    /// The deadline of a call that starts now.
    pub(super) fn deadline(&self) -> Deadline {
        Deadline::unattended(self.terms().limits.wall)
    }

    /// What the rule's device advertises.
    pub(super) fn terms(&self) -> Arc<Terms> {
        self.subject.terms(&self.device())
    }

    pub(super) fn claims(&self) -> Claims {
        self.subject.claims(&self.device())
    }

    pub(super) fn size(&self) -> u64 {
        self.terms().export.size
    }

    pub(super) fn offers(&self, flags: ExportFlags) -> bool {
        self.terms().export.flags.contains(flags)
    }

    /// The minimum block size, in bytes.
    pub(super) fn block(&self) -> u64 {
        self.terms().export.block.minimum().into()
    }

    /// The size of the largest request, in bytes.
    pub(super) fn largest(&self) -> u64 {
        let most = self.terms().export.block.maximum().min(MAX_PAYLOAD);
        let most = u64::from(most).min(self.size());
        most - most % self.block()
    }

    /// Reads a range with one request.
    pub(super) async fn read(&mut self, range: Range<u64>) -> Result<Vec<u8>, Stop> {
        let device = self.device();
        self.read_of(&device, range).await
    }

    pub(super) async fn read_of(
        &mut self,
        device: &S::Device,
        range: Range<u64>,
    ) -> Result<Vec<u8>, Stop> {
        let length = u32::try_from(range.end - range.start)
            .map_err(|_| Stop::Broken("the bench requests too many bytes at once".to_owned()))?;
        let mut reply = Box::<ReadReply>::default();
        reply.reset(length);
        let read = device
            .read(&self.deadline(), range.start, length, reply)
            .await;
        let mut reply = self.done(read, &format!("read {}", show(&range)))?;
        let pieces = reply.pieces().len().max(reply.reads().len());
        self.stock.pieces = self.stock.pieces.max(pieces);
        reply.flatten();
        Ok(reply.bytes().to_vec())
    }

    /// Requests the extents of a range.
    pub(super) async fn extents(&mut self, range: Range<u64>, one: bool) -> Result<Known, Stop> {
        let device = self.device();
        let blocks = (range.end - range.start).div_ceil(self.block());
        let most = usize::try_from(blocks).unwrap_or(usize::MAX);
        let most = most.min(self.subject.terms(&device).limits.extents);
        let wanted = if one { Wanted::One } else { Wanted::All };
        let Ok(map) = ExtentMap::new(range.clone(), wanted, most) else {
            return broken("the bench requests the extents of no bytes");
        };
        let said = device.extents(&self.deadline(), Box::new(map)).await;
        let map = self.done(said, &format!("extents {}", show(&range)))?;
        self.stock.adds = self.stock.adds.max(map.adds());
        if map.end() == range.start {
            // An empty report means data for the whole range.
            return Ok(Known {
                extents: vec![Extent {
                    offset: range.start,
                    length: range.end - range.start,
                    kind: extent_map::Kind::Data,
                }],
                end: range.end,
            });
        }
        Ok(Known {
            extents: map.iter().collect(),
            end: map.end(),
        })
    }

    /// Records a call that has ended.
    pub(super) fn done<T>(&mut self, ended: Result<T, Failure>, call: &str) -> Result<T, Stop> {
        self.stock.calls += 1;
        ended.map_err(|failure| {
            self.blame(&failure, call);
            Stop::Broken(format!("{call}: {}", words(&failure)))
        })
    }

    /// Records a failure that isn't the plugin's own answer.
    pub(super) fn blame(&mut self, failure: &Failure, call: &str) {
        if failure.fault != Fault::Answer {
            self.stock
                .faults
                .push(format!("{call}: {}", words(failure)));
        }
    }

    /// Ranges worth a test: both ends, borders between extents, and random places.
    pub(super) async fn windows(&mut self) -> Result<Vec<Range<u64>>, Stop> {
        let size = self.size();
        if size == 0 {
            return super::verdict::moot("the disk has no bytes");
        }
        let length = WINDOW.max(self.block()).min(self.largest());
        let block = self.block();
        let last = size - length;
        let mut starts = BTreeSet::from([0, last]);
        for border in self.borders().await {
            let before = border.saturating_sub(length / 2);
            starts.insert((before - before % block).min(last));
        }
        for _ in 0..6 {
            let at = self.dice.multiple(block, last - last % block);
            starts.insert(at);
        }
        Ok(starts
            .into_iter()
            .map(|start| start..start + length)
            .collect())
    }

    /// Some borders between extents. Another rule reports errors.
    async fn borders(&mut self) -> Vec<u64> {
        if !self.terms().sparse {
            return Vec::new();
        }
        let size = self.size();
        let (mut at, mut borders) = (0, Vec::new());
        while at < size && borders.len() < WALK {
            let end = size.min(at + (u64::from(u32::MAX) - 65_535));
            let Ok(known) = self.extents(at..end, false).await else {
                break;
            };
            borders.extend(known.extents.iter().map(|extent| extent.offset));
            at = known.end;
        }
        let step = (borders.len() / 8).max(1);
        borders.into_iter().step_by(step).take(8).collect()
    }
}

/// A range as text.
pub(super) fn show(range: &Range<u64>) -> String {
    format!("{}+{}", range.start, range.end - range.start)
}

/// A failure as text.
pub(super) fn words(failure: &Failure) -> String {
    let who = match failure.fault {
        Fault::Answer => "the plugin answered".to_owned(),
        Fault::Plugin(cause) => format!("the plugin's fault ({}):", cause.name()),
        Fault::Below => "the layer below failed:".to_owned(),
        Fault::Lost => "the export failed:".to_owned(),
        Fault::Host | Fault::Share | Fault::HungUp | Fault::Shutdown => {
            "the host failed:".to_owned()
        }
    };
    match &failure.text[..] {
        "" => format!("{who} {}", failure.errno),
        text => format!("{who} {} ({text})", failure.errno),
    }
}

/// Describes the first byte in which two stretches differ; both begin at `start`.
pub(super) fn difference(start: u64, left: &[u8], right: &[u8]) -> Option<String> {
    let index = left.iter().zip(right).position(|(a, b)| a != b)?;
    Some(format!(
        "byte {} is {:#04x} in one and {:#04x} in the other",
        start + index as u64,
        left[index],
        right[index]
    ))
}
