//! The number of calls per second: a figure, not a judgement.

use std::time::{Duration, Instant};

use super::bench::Bench;
use super::subject::Subject;
use super::verdict::{Checked, moot};

/// The time spent on each kind of call.
const TIME: Duration = Duration::from_millis(250);

/// The bytes of a request about extents.
const QUESTION: u64 = 1 << 30;

pub(super) async fn measure<S: Subject>(bench: &mut Bench<'_, S>) -> Checked {
    let size = bench.size();
    if size == 0 {
        return moot("the disk has no bytes");
    }
    let block = u64::from(bench.terms().export.block.preferred()).min(bench.largest());
    let last = size - block;
    let grain = bench.block();
    let (start, mut reads) = (Instant::now(), 0);
    while start.elapsed() < TIME {
        let at = bench.dice.multiple(grain, last - last % grain);
        bench.read(at..at + block).await?;
        reads += 1;
    }
    let mut seen = format!(
        "{} reads of {block} bytes a second",
        per_second(reads, start)
    );
    if bench.terms().sparse {
        let (start, mut reports) = (Instant::now(), 0);
        while start.elapsed() < TIME {
            let at = bench.dice.multiple(grain, last - last % grain);
            bench.extents(at..size.min(at + QUESTION), false).await?;
            reports += 1;
        }
        seen += &format!(", {} reports", per_second(reports, start));
    }
    Ok(seen)
}

fn per_second(calls: u32, since: Instant) -> u64 {
    let rate = f64::from(calls) / since.elapsed().as_secs_f64();
    // The number of calls, made one by one in less than a second, fits.
    Duration::try_from_secs_f64(rate).map_or(0, |rate| rate.as_secs())
}
