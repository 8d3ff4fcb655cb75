//! Rules about extents.

use std::ops::Range;

use extent_map::{Extent, Kind};

use super::bench::{Bench, show};
use super::subject::Subject;
use super::verdict::{Checked, Stop, broken, moot};

/// The replies that are followed from the start of the disk, each beginning where the last one ended.
const REPLIES: u64 = 256;

/// The bytes of a request about extents: the most that compact headers allow, aligned to any block.
const QUESTION: u64 = u32::MAX as u64 - 65_535;

/// The bytes that are read of one extent.
const SAMPLE: u64 = 64 << 10;

/// How many parts of each window are requested.
const CUTS: u32 = 4;

fn must_be_known<S: Subject>(bench: &Bench<'_, S>) -> Result<u64, Stop> {
    if !bench.terms().sparse {
        return moot("the plugin doesn't export `sparse`");
    }
    match bench.size() {
        0 => moot("the disk has no bytes"),
        size => Ok(size),
    }
}

/// Follows the replies through the disk, as nbdcopy does.
pub(super) async fn answer<S: Subject>(bench: &mut Bench<'_, S>) -> Checked {
    let size = must_be_known(bench)?;
    let (mut at, mut replies, mut extents) = (0, 0, 0);
    while at < size && replies < REPLIES {
        let known = bench.extents(at..size.min(at + QUESTION), false).await?;
        extents += known.extents.len();
        (at, replies) = (known.end, replies + 1);
    }
    // The walk may not have reached the last block, so it's requested alone.
    bench.extents(size - bench.block()..size, false).await?;
    Ok(format!(
        "{extents} extents in {replies} replies, {at} of {size} bytes"
    ))
}

/// Reads what is reported as zero or hole.
pub(super) async fn zeroes<S: Subject>(bench: &mut Bench<'_, S>) -> Checked {
    let size = must_be_known(bench)?;
    let windows = bench.windows().await?;
    let (mut at, mut replies, mut looked) = (0, 0, 0);
    while at < size && replies < REPLIES / 4 {
        let known = bench.extents(at..size.min(at + QUESTION), false).await?;
        let step = (known.extents.len() / 16).max(1);
        for extent in known.extents.iter().step_by(step) {
            looked += look_into(bench, extent).await?;
        }
        (at, replies) = (known.end, replies + 1);
    }
    for window in windows {
        for extent in &bench.extents(window, false).await?.extents {
            looked += look_into(bench, extent).await?;
        }
    }
    match looked {
        0 => Ok("no zero or hole was reported".to_owned()),
        looked => Ok(format!("{looked} bytes of zeroes and holes read")),
    }
}

/// Reads both ends of an extent that should read as zeroes. Returns the number of bytes read.
pub(super) async fn look_into<S: Subject>(
    bench: &mut Bench<'_, S>,
    extent: &Extent,
) -> Result<u64, Stop> {
    if !matches!(extent.kind, Kind::Hole | Kind::Zero) {
        return Ok(0);
    }
    // Aligned as the host does: it reports only whole blocks as zero to a client.
    let block = bench.block();
    let start = extent.offset.next_multiple_of(block);
    let end = extent.offset + extent.length;
    let end = end - end % block;
    if start >= end {
        return Ok(0);
    }
    let length = (end - start).min(SAMPLE.max(block)).min(bench.largest());
    for range in [start..start + length, end - length..end] {
        let bytes = bench.read(range.clone()).await?;
        if let Some(index) = bytes.iter().position(|byte| *byte != 0) {
            return broken(format!(
                "byte {} is {:#04x}, and extents call it {:?}",
                range.start + index as u64,
                bytes[index],
                extent.kind
            ));
        }
    }
    Ok(2 * length)
}

/// Requests the extents of windows, and of parts of them.
pub(super) async fn cuts<S: Subject>(bench: &mut Bench<'_, S>) -> Checked {
    must_be_known(bench)?;
    let windows = bench.windows().await?;
    for window in &windows {
        let whole = bench.extents(window.clone(), false).await?.extents;
        for _ in 0..CUTS {
            let part = part_of(bench, window);
            let known = bench.extents(part.clone(), false).await?.extents;
            if let Some(at) = disagreement(&whole, &known) {
                return broken(format!(
                    "byte {at} is {:?} in the extents of {}, and {:?} in those of {}",
                    kind_at(&whole, at),
                    show(window),
                    kind_at(&known, at),
                    show(&part)
                ));
            }
        }
    }
    Ok(format!("{} windows, {CUTS} cuts each", windows.len()))
}

fn part_of<S: Subject>(bench: &mut Bench<'_, S>, window: &Range<u64>) -> Range<u64> {
    let block = bench.block();
    let blocks = (window.end - window.start) / block;
    let first = bench.dice.below(blocks);
    let count = 1 + bench.dice.below(blocks - first);
    let start = window.start + first * block;
    start..start + count * block
}

/// The first byte that two reports describe differently.
fn disagreement(left: &[Extent], right: &[Extent]) -> Option<u64> {
    let starts = left.iter().chain(right).map(|extent| extent.offset);
    let differs = |at: &u64| match (kind_at(left, *at), kind_at(right, *at)) {
        (Some(one), Some(other)) => one != other,
        _ => false,
    };
    starts.filter(differs).min()
}

fn kind_at(extents: &[Extent], at: u64) -> Option<Kind> {
    let holds = |extent: &&Extent| (extent.offset..extent.offset + extent.length).contains(&at);
    extents.iter().find(holds).map(|extent| extent.kind)
}

/// The first extent of a window, with REQ_ONE and without.
pub(super) async fn one<S: Subject>(bench: &mut Bench<'_, S>) -> Checked {
    must_be_known(bench)?;
    let windows = bench.windows().await?;
    for window in &windows {
        let all = bench.extents(window.clone(), false).await?.extents;
        let one = bench.extents(window.clone(), true).await?.extents;
        // The server sends only the first one.
        let first = &one[..one.len().min(1)];
        if let Some(at) = disagreement(&all, first) {
            return broken(format!(
                "in the extents of {}, byte {at} is {:?} with REQ_ONE and {:?} without",
                show(window),
                kind_at(first, at),
                kind_at(&all, at)
            ));
        }
    }
    Ok(format!("{} windows", windows.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(offset: u64, length: u64, kind: Kind) -> Extent {
        Extent {
            offset,
            length,
            kind,
        }
    }

    #[test]
    fn reports_disagree_only_where_both_say_something() {
        let left = [extent(0, 10, Kind::Data), extent(10, 10, Kind::Hole)];
        assert_eq!(disagreement(&left, &[extent(5, 5, Kind::Data)]), None);
        assert_eq!(disagreement(&left, &[extent(20, 5, Kind::Zero)]), None);
        assert_eq!(disagreement(&left, &[extent(5, 9, Kind::Data)]), Some(10));
        assert_eq!(disagreement(&left, &[extent(12, 1, Kind::Zero)]), Some(12));
    }
}
