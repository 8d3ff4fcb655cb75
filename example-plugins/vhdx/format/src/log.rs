//! The log (2.3): changes of the file's structures that may not be in place yet, replayed in memory.
//!
//! An entry counts only if all of its checksums and numbers match, and only as part of the newest complete sequence.
//! Everything else in the log is left over from earlier times.

use std::ops::Range;

use crate::fields::{Guid, check, guid_at, u32_at, u64_at};
use crate::{Error, Result, Source};

/// Size of a sector, the unit of the log, in bytes.
const SECTOR: usize = 4096;

/// The most bytes of a log. Restrains the image's author; known tools write logs of 1 MiB.
const MAX_LENGTH: u32 = 8 << 20;

/// The most writes of the replayed sequence. Restrains the image's author: each read checks all of them.
const MAX_WRITES: usize = 4096;

/// How often the search for the newest sequence may read each byte of the log, on average. Restrains the image's
/// author: any sector may claim to start an entry as long as the log.
const LOOKS: usize = 8;

/// Size of an entry's header, and of each descriptor after it, in bytes.
const HEADER: usize = 64;
const DESCRIPTOR: usize = 32;

/// The place of the log, and its identifier.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// In bytes.
    pub offset: u64,
    /// In bytes.
    pub length: u32,
    /// The identifier. Entries with another one are ignored.
    pub guid: Guid,
}

/// A file, with its log replayed.
#[derive(Debug)]
pub struct Replayed<S> {
    source: S,
    /// The writes, in their order.
    writes: Vec<Write>,
}

#[derive(Debug)]
struct Write {
    range: Range<u64>,
    /// `None`: zeroes.
    bytes: Option<Vec<u8>>,
}

/// A valid entry.
struct Entry {
    at: usize,
    length: usize,
    tail: usize,
    sequence: u64,
    /// The file had at least this length.
    flushed: u64,
    writes: Vec<Write>,
}

impl<S: Source> Replayed<S> {
    /// A file without a log to replay.
    pub fn plain(source: S) -> Self {
        let writes = Vec::new();
        Self { source, writes }
    }

    /// Reads the log and collects its changes.
    pub fn replay(source: S, place: Place) -> Result<Self> {
        if place.length == 0 || !place.length.is_multiple_of(1 << 20) || place.length > MAX_LENGTH {
            let length = place.length;
            return Err(Error::unsupported(format!(
                "log length {length}, not a multiple of 1 MiB up to 8 MiB"
            )));
        }
        let end = place.offset.checked_add(place.length.into());
        if end.is_none_or(|end| end > source.size()) {
            return Err(Error::malformed("the log is past the end of the file"));
        }
        let log = source.read(place.offset, place.length as usize)?;
        let entries = newest(&log, &place.guid)
            .ok_or_else(|| Error::malformed("the log has no complete sequence"))?;
        let mut writes = Vec::new();
        for entry in entries {
            if entry.flushed > source.size() {
                return Err(Error::malformed(
                    "the file is shorter than its log requires",
                ));
            }
            writes.extend(entry.writes);
        }
        let inside = |write: &Write| write.range.end <= source.size();
        if writes.len() > MAX_WRITES || !writes.iter().all(inside) {
            return Err(Error::malformed(
                "the log has too many changes, or changes past the end of the file",
            ));
        }
        Ok(Self { source, writes })
    }

    /// Whether the log changes a range. Reads by reference wouldn't contain the change.
    pub fn changes(&self, range: &Range<u64>) -> bool {
        self.writes
            .iter()
            .any(|write| overlap(&write.range, range).is_some())
    }
}

impl<S: Source> Source for Replayed<S> {
    fn size(&self) -> u64 {
        self.source.size()
    }

    fn read(&self, offset: u64, length: usize) -> Result<Vec<u8>> {
        let mut bytes = self.source.read(offset, length)?;
        let range = offset..offset + length as u64;
        for write in &self.writes {
            let Some(both) = overlap(&write.range, &range) else {
                continue;
            };
            let from = (both.start - write.range.start) as usize;
            let count = (both.end - both.start) as usize;
            let place = &mut bytes[(both.start - offset) as usize..][..count];
            match &write.bytes {
                Some(source) => place.copy_from_slice(&source[from..from + count]),
                None => place.fill(0),
            }
        }
        Ok(bytes)
    }
}

fn overlap(one: &Range<u64>, two: &Range<u64>) -> Option<Range<u64>> {
    let both = one.start.max(two.start)..one.end.min(two.end);
    (!both.is_empty()).then_some(both)
}

/// The newest sequence: consecutive entries, from the one that the last of them names as the first.
fn newest(log: &[u8], guid: &Guid) -> Option<Vec<Entry>> {
    let mut best: Option<Vec<Entry>> = None;
    let mut budget = LOOKS * log.len();
    let mut start = 0;
    while start < log.len() {
        let mut entries: Vec<Entry> = Vec::new();
        let (mut at, mut left) = (start, log.len());
        let mut next = |at, left| {
            let entry = Entry::parse(log, at, guid, &mut budget);
            entry.filter(|entry| entry.length <= left)
        };
        while let Some(entry) = next(at, left) {
            let follows = |last: &Entry| Some(entry.sequence) == last.sequence.checked_add(1);
            if !entries.last().is_none_or(follows) {
                break;
            }
            left -= entry.length;
            at = (at + entry.length) % log.len();
            entries.push(entry);
        }
        start += entries
            .iter()
            .map(|entry| entry.length)
            .sum::<usize>()
            .max(SECTOR);
        let Some(head) = entries.last() else {
            continue;
        };
        let (tail, sequence) = (head.tail, head.sequence);
        let Some(first) = entries.iter().position(|entry| entry.at == tail) else {
            continue;
        };
        let newer = |best: &Vec<Entry>| best.last().is_none_or(|last| last.sequence < sequence);
        if best.as_ref().is_none_or(newer) {
            best = Some(entries.split_off(first));
        }
    }
    best
}

impl Entry {
    /// The entry at a place of the log, if it is valid, and the budget of bytes allows reading it.
    fn parse(log: &[u8], at: usize, guid: &Guid, budget: &mut usize) -> Option<Self> {
        let header = log.get(at..at + HEADER)?;
        let (length, tail) = (
            u32_at(header, 8).ok()? as usize,
            u32_at(header, 12).ok()? as usize,
        );
        let sequence = u64_at(header, 16).ok()?;
        let sectors = length % SECTOR == 0 && tail % SECTOR == 0;
        let right = header.starts_with(b"loge") && sectors && guid_at(header, 32).ok()? == *guid;
        if !right || length == 0 || length > log.len() || tail >= log.len() || sequence == 0 {
            return None;
        }
        *budget = budget.checked_sub(length)?;
        // It may continue at the start of the log.
        let bytes: Vec<u8> = log[at..].iter().chain(log).take(length).copied().collect();
        check("entry of the log", &bytes, b"loge").ok()?;
        let count = u32_at(header, 24).ok()? as usize;
        Some(Self {
            at,
            length,
            tail,
            sequence,
            flushed: u64_at(header, 48).ok()?,
            writes: writes(&bytes, count, sequence)?,
        })
    }
}

/// The changes of an entry: its descriptors, with the data sectors after them.
fn writes(entry: &[u8], count: usize, sequence: u64) -> Option<Vec<Write>> {
    let descriptors = entry.get(HEADER..HEADER.checked_add(count.checked_mul(DESCRIPTOR)?)?)?;
    let first = (HEADER + descriptors.len()).next_multiple_of(SECTOR);
    let mut data = entry.get(first..)?.chunks_exact(SECTOR);
    let mut writes = Vec::new();
    for descriptor in descriptors.chunks_exact(DESCRIPTOR) {
        let (offset, own) = (u64_at(descriptor, 16).ok()?, u64_at(descriptor, 24).ok()?);
        let (length, bytes) = match &descriptor[..4] {
            b"desc" => (
                SECTOR as u64,
                Some(sector(descriptor, data.next()?, sequence)?),
            ),
            b"zero" => (u64_at(descriptor, 8).ok()?, None),
            _ => return None,
        };
        let end = offset.checked_add(length)?;
        if own != sequence || offset % SECTOR as u64 != 0 || length % SECTOR as u64 != 0 {
            return None;
        }
        let range = offset..end;
        writes.push(Write { range, bytes });
    }
    // No data sector may be left over.
    data.next().is_none().then_some(writes)
}

/// A data sector. Its descriptor holds its first eight and last four bytes.
fn sector(descriptor: &[u8], data: &[u8], sequence: u64) -> Option<Vec<u8>> {
    let (high, low) = (u32_at(data, 4).ok()?, u32_at(data, SECTOR - 4).ok()?);
    if !data.starts_with(b"data") || u64::from(high) << 32 | u64::from(low) != sequence {
        return None;
    }
    let mut bytes = data.to_vec();
    bytes[..8].copy_from_slice(&descriptor[8..16]);
    bytes[SECTOR - 4..].copy_from_slice(&descriptor[4..8]);
    Some(bytes)
}
