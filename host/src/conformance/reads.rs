//! Rules about reads.

use super::bench::{Bench, difference, show};
use super::subject::Subject;
use super::verdict::{Checked, broken};

/// How many times each window is cut into pieces.
const CUTS: u32 = 3;

/// The number of single blocks that are read.
const BLOCKS: u64 = 32;

/// Reads whole windows, and the same bytes in pieces.
pub(super) async fn cuts<S: Subject>(bench: &mut Bench<'_, S>) -> Checked {
    let windows = bench.windows().await?;
    let mut pieces = 0;
    for window in &windows {
        let whole = bench.read(window.clone()).await?;
        for _ in 0..CUTS {
            let mut at = window.start;
            while at < window.end {
                let block = bench.block();
                let left = window.end - at - block.min(window.end - at);
                let end = at + block + bench.dice.multiple(block, left - left % block);
                let end = end.min(window.end);
                let part = bench.read(at..end).await?;
                let from = usize::try_from(at - window.start).unwrap_or(usize::MAX);
                let expected = whole.get(from..from + part.len()).unwrap_or_default();
                if let Some(difference) = difference(at, expected, &part) {
                    return broken(format!(
                        "read as part of {} and in {}: {difference}",
                        show(window),
                        show(&(at..end))
                    ));
                }
                (at, pieces) = (end, pieces + 1);
            }
        }
    }
    Ok(format!("{} windows, {pieces} pieces", windows.len()))
}

/// Reads with the largest request, at the start and at the end.
pub(super) async fn largest<S: Subject>(bench: &mut Bench<'_, S>) -> Checked {
    let (size, most) = (bench.size(), bench.largest());
    if most == 0 {
        return super::verdict::moot("the disk has no bytes");
    }
    let start = bench.read(0..most).await?;
    let end = bench.read(size - most..size).await?;
    let overlap = usize::try_from((2 * most).saturating_sub(size)).unwrap_or(0);
    let (left, right) = (&start[start.len() - overlap..], &end[..overlap]);
    match difference(size - most, left, right) {
        Some(difference) => broken(difference),
        None => Ok(format!("{most} bytes at both ends")),
    }
}

/// Reads single blocks (the first, the last, and some in between), and compares each with the window around it.
pub(super) async fn block_sizes<S: Subject>(bench: &mut Bench<'_, S>) -> Checked {
    let windows = bench.windows().await?;
    let block = bench.block();
    for round in 0..BLOCKS {
        let index = usize::try_from(round).unwrap_or(0) % windows.len();
        let window = windows[index].clone();
        let blocks = (window.end - window.start) / block;
        let inside = match round {
            0 => 0,
            1 => blocks - 1,
            _ => bench.dice.below(blocks),
        };
        let at = window.start + inside * block;
        let alone = bench.read(at..at + block).await?;
        let whole = bench.read(window.clone()).await?;
        let from = usize::try_from(inside * block).unwrap_or(0);
        if let Some(difference) = difference(at, &whole[from..from + alone.len()], &alone) {
            return broken(format!("block {}: {difference}", show(&(at..at + block))));
        }
    }
    Ok(format!("{BLOCKS} blocks of {block} bytes"))
}
