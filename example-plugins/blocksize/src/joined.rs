//! Extents on whole blocks: a block is a hole, or zeroes, only if all of it is.

use nbdbox_plugin::{Extent, ExtentKind, Extents, Progress, Result, next};

/// Extents in one request to the layer below.
const MOST: u32 = 4096;

/// Reports the extents of the layer below for a range, rounded to whole blocks.
pub(crate) fn report(extents: &Extents, offset: u64, length: u64, block: u64) -> Result<()> {
    let whole = (offset + length).next_multiple_of(block);
    let mut at = offset - offset % block;
    while at < whole {
        let found = next::list_extents(at, whole - at, MOST)?;
        let known = found.last().map_or(at, |last| last.offset + last.length);
        // A block that is only known in part counts as unknown.
        let end = known - known % block;
        if end == at {
            extents.end_at(at.max(offset));
            return Ok(());
        }
        if extents.add_all(&join(&found, end, block))? == Progress::Full {
            return Ok(());
        }
        at = end;
    }
    Ok(())
}

/// Moves the borders of extents to blocks, up to `end`, which is the end of a block.
fn join(found: &[Extent], end: u64, block: u64) -> Vec<Extent> {
    let mut joined: Vec<Extent> = Vec::with_capacity(found.len());
    for extent in found {
        let stop = (extent.offset + extent.length).min(end);
        let start = joined
            .last()
            .map_or(extent.offset, |last| last.offset + last.length);
        // The block at a border has both kinds.
        let shared = extent.offset < start;
        if shared && let Some(last) = joined.last_mut() {
            let edge = start - block;
            let kind = both(last.kind, extent.kind);
            split_off(&mut joined, edge, kind);
        }
        if stop > start {
            joined.push(Extent {
                offset: start,
                length: stop.next_multiple_of(block) - start,
                kind: extent.kind,
            });
        }
    }
    joined
}

/// Gives the last block, from `edge` on, a kind of its own.
fn split_off(joined: &mut Vec<Extent>, edge: u64, kind: ExtentKind) {
    if let Some(last) = joined.last_mut() {
        let length = last.offset + last.length - edge;
        if last.offset == edge {
            last.kind = kind;
        } else {
            last.length -= length;
            joined.push(Extent {
                offset: edge,
                length,
                kind,
            });
        }
    }
}

/// The kind that is true of both.
fn both(one: ExtentKind, other: ExtentKind) -> ExtentKind {
    use ExtentKind::{Data, Hole, Undefined, Zero};
    match (one, other) {
        (Data, _) | (_, Data) => Data,
        (Hole, kind) | (kind, Hole) => kind,
        (Zero, Zero) => Zero,
        (Undefined, Undefined) => Undefined,
        (Zero, Undefined) | (Undefined, Zero) => Data,
    }
}
