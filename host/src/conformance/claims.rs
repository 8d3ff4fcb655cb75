//! Rules about what a plugin claims.

use device::WriteFlags;
use nbd_proto::ExportFlags;

use super::bench::{Bench, difference, show};
use super::subject::Subject;
use super::verdict::{Checked, Stop, broken, moot};
use super::writes;

/// Another instance has the same disk: after a crash it may replace the first one.
pub(super) async fn fresh<S: Subject>(bench: &mut Bench<'_, S>) -> Checked {
    let single = !bench.claims().parallel;
    if single && !bench.offers(ExportFlags::READ_ONLY) {
        return moot(
            "the mode is single and the disk is writable: the plugin's memory may be the disk",
        );
    }
    let other = bench.another().await?;
    let (one, two) = (bench.terms(), bench.subject.terms(&other));
    let (one, two) = (&one.export, &two.export);
    if (one.size, one.block) != (two.size, two.block) {
        return broken(format!(
            "the disk has {} bytes in one instance and {} in another, or the block sizes differ",
            one.size, two.size
        ));
    }
    let windows = bench.windows().await?;
    compare(bench, &windows, &other).await?;
    Ok(format!("{} windows in two instances", windows.len()))
}

/// Reads all windows from one instance in ascending order, and from another in descending order.
async fn compare<S: Subject>(
    bench: &mut Bench<'_, S>,
    windows: &[std::ops::Range<u64>],
    other: &S::Device,
) -> Result<(), Stop> {
    let mut first = Vec::with_capacity(windows.len());
    for window in windows {
        first.push(bench.read(window.clone()).await?);
    }
    for (window, first) in windows.iter().zip(&first).rev() {
        let second = bench.read_of(other, window.clone()).await?;
        if let Some(difference) = difference(window.start, first, &second) {
            return broken(format!(
                "read {} from two instances: {difference}",
                show(window)
            ));
        }
    }
    Ok(())
}

/// A change in one instance is visible in another.
pub(super) async fn parallel<S: Subject>(bench: &mut Bench<'_, S>) -> Checked {
    if !bench.claims().parallel {
        return moot("the mode is single");
    }
    if bench.offers(ExportFlags::READ_ONLY) {
        return moot("the disk is read-only: see `fresh`");
    }
    writes::must_be_allowed(bench)?;
    let windows = bench.windows().await?;
    for window in &windows {
        let length = usize::try_from(window.end - window.start).unwrap_or(0);
        let bytes = bench.dice.bytes(length);
        writes::write(bench, window.start, bytes, WriteFlags::empty()).await?;
    }
    writes::flush(bench).await?;
    let other = bench.another().await?;
    compare(bench, &windows, &other).await?;
    Ok(format!(
        "{} windows written in one instance and read in another",
        windows.len()
    ))
}

/// Reads the same windows again, after all others.
pub(super) async fn immutable<S: Subject>(bench: &mut Bench<'_, S>) -> Checked {
    if !bench.claims().immutable {
        return moot("the plugin doesn't claim to be immutable");
    }
    if !bench.offers(ExportFlags::READ_ONLY) {
        return broken("the plugin claims to be immutable, but the disk is writable");
    }
    let windows = bench.windows().await?;
    let mut first = Vec::with_capacity(windows.len());
    for window in &windows {
        first.push(bench.read(window.clone()).await?);
    }
    for (window, first) in windows.iter().zip(&first) {
        let second = bench.read(window.clone()).await?;
        if let Some(difference) = difference(window.start, first, &second) {
            return broken(format!("read {} twice: {difference}", show(window)));
        }
    }
    Ok(format!("{} windows read twice", windows.len()))
}

/// Reads by the mapping return the same bytes as the plugin.
pub(super) async fn mapping<S: Subject>(bench: &mut Bench<'_, S>) -> Checked {
    if !bench.claims().mapped {
        return moot("the plugin has no mapping, or isn't immutable");
    }
    let mapped = bench.mapped().await?;
    let windows = bench.windows().await?;
    for window in &windows {
        let own = bench.read(window.clone()).await?;
        // The second read has to use the mapping.
        for _ in 0..2 {
            let by_mapping = bench.read_of(&mapped, window.clone()).await?;
            if let Some(difference) = difference(window.start, &own, &by_mapping) {
                return broken(format!(
                    "read {} from the plugin and by its mapping: {difference}",
                    show(window)
                ));
            }
        }
    }
    Ok(format!("{} windows read by the mapping", windows.len()))
}
