//! Rules about changes. None of them runs unless the author allows it.

use bytes::Bytes;
use device::{Device as _, WriteFlags};
use nbd_proto::{Errno, ExportFlags};

use super::bench::{Bench, difference, show};
use super::extents::look_into;
use super::subject::Subject;
use super::verdict::{Checked, Stop, broken, moot};

/// The number of changes that are made and compared.
const CHANGES: u32 = 200;

pub(super) fn must_be_allowed<S: Subject>(bench: &Bench<'_, S>) -> Result<(), Stop> {
    if bench.offers(ExportFlags::READ_ONLY) {
        return moot("the disk is read-only");
    }
    if !bench.plan.write {
        return moot("the rule writes to the disk: allow it with --write");
    }
    Ok(())
}

pub(super) async fn write<S: Subject>(
    bench: &mut Bench<'_, S>,
    offset: u64,
    bytes: Vec<u8>,
    flags: WriteFlags,
) -> Result<(), Stop> {
    let call = format!("write {}", show(&(offset..offset + bytes.len() as u64)));
    let device = bench.device();
    let written = device
        .write(&bench.deadline(), offset, Bytes::from(bytes), flags)
        .await;
    bench.done(written, &call)
}

pub(super) async fn flush<S: Subject>(bench: &mut Bench<'_, S>) -> Result<(), Stop> {
    let flushed = bench.device().flush(&bench.deadline()).await;
    bench.done(flushed, "flush")
}

async fn zero<S: Subject>(
    bench: &mut Bench<'_, S>,
    offset: u64,
    length: u64,
    flags: WriteFlags,
) -> Result<(), Stop> {
    let zeroed = bench
        .device()
        .zero(&bench.deadline(), offset, length, flags)
        .await;
    bench.done(
        zeroed,
        &format!("zero {}", show(&(offset..offset + length))),
    )
}

async fn trim<S: Subject>(
    bench: &mut Bench<'_, S>,
    offset: u64,
    length: u64,
    flags: WriteFlags,
) -> Result<(), Stop> {
    let trimmed = bench
        .device()
        .trim(&bench.deadline(), offset, length, flags)
        .await;
    bench.done(
        trimmed,
        &format!("trim {}", show(&(offset..offset + length))),
    )
}

/// Makes random changes in a few windows, and compares each with a model.
pub(super) async fn model<S: Subject>(bench: &mut Bench<'_, S>) -> Checked {
    must_be_allowed(bench)?;
    let windows = bench.windows().await?;
    // Only the windows at both ends of the disk: the others may overlap.
    let picked = [windows.first(), windows.last()];
    for window in picked.into_iter().flatten() {
        let mut model = Model {
            start: window.start,
            bytes: bench
                .read(window.clone())
                .await?
                .into_iter()
                .map(Some)
                .collect(),
        };
        for _ in 0..CHANGES / 2 {
            change(bench, &mut model).await?;
            let read = bench.read(window.clone()).await?;
            model.compare(&read)?;
        }
    }
    flush(bench).await?;
    Ok(format!("{CHANGES} changes"))
}

/// The bytes that a window should have; `None` where they are undefined.
struct Model {
    start: u64,
    bytes: Vec<Option<u8>>,
}

impl Model {
    fn put(&mut self, offset: u64, bytes: impl Iterator<Item = Option<u8>>) {
        let from = usize::try_from(offset - self.start).unwrap_or(usize::MAX);
        for (place, byte) in self.bytes.iter_mut().skip(from).zip(bytes) {
            *place = byte;
        }
    }

    fn compare(&self, read: &[u8]) -> Result<(), Stop> {
        let wrong = |(byte, read): (&Option<u8>, &u8)| byte.is_some_and(|byte| byte != *read);
        match self.bytes.iter().zip(read).position(wrong) {
            None => Ok(()),
            Some(index) => broken(format!(
                "byte {} is {:#04x} and should be {:#04x}",
                self.start + index as u64,
                read[index],
                self.bytes[index].unwrap_or_default()
            )),
        }
    }
}

async fn change<S: Subject>(bench: &mut Bench<'_, S>, model: &mut Model) -> Result<(), Stop> {
    let block = bench.block();
    let blocks = model.bytes.len() as u64 / block;
    let first = bench.dice.below(blocks);
    // Mostly short ranges.
    let most = (blocks - first).min(1 + bench.dice.below(blocks));
    let length = (1 + bench.dice.below(most)) * block;
    let offset = model.start + first * block;
    let count = usize::try_from(length).unwrap_or(0);
    let zeroable = bench.offers(ExportFlags::SEND_WRITE_ZEROES);
    match bench.dice.below(4) {
        0 if zeroable => {
            zero(bench, offset, length, WriteFlags::empty()).await?;
            model.put(offset, std::iter::repeat_n(Some(0), count));
        }
        1 if zeroable => {
            trim(bench, offset, length, WriteFlags::empty()).await?;
            model.put(offset, std::iter::repeat_n(None, count));
        }
        _ => {
            let bytes = bench.dice.bytes(count);
            write(bench, offset, bytes.clone(), WriteFlags::empty()).await?;
            model.put(offset, bytes.into_iter().map(Some));
        }
    }
    Ok(())
}

/// Writes into ranges that may have been holes, and requests their extents again.
pub(super) async fn extents<S: Subject>(bench: &mut Bench<'_, S>) -> Checked {
    must_be_allowed(bench)?;
    if !bench.terms().sparse {
        return moot("the plugin doesn't export `sparse`");
    }
    let windows = bench.windows().await?;
    let block = bench.block();
    for window in &windows {
        let blocks = (window.end - window.start) / block;
        let first = bench.dice.below(blocks);
        let count = 1 + bench.dice.below((blocks - first).min(8));
        let length = usize::try_from(count * block).unwrap_or(0);
        // Requests the extents before the write too, so that a plugin with a cached map has to drop it.
        bench.extents(window.clone(), false).await?;
        let bytes = bench.dice.bytes(length);
        write(
            bench,
            window.start + first * block,
            bytes,
            WriteFlags::empty(),
        )
        .await?;
        for extent in &bench.extents(window.clone(), false).await?.extents {
            look_into(bench, extent).await?;
        }
    }
    Ok(format!("{} windows", windows.len()))
}

/// Every mode of zeroing is done; a fast zero may be refused.
pub(super) async fn zero_modes<S: Subject>(bench: &mut Bench<'_, S>) -> Checked {
    must_be_allowed(bench)?;
    if !bench.offers(ExportFlags::SEND_WRITE_ZEROES) {
        return moot("the plugin doesn't export `zeroable`");
    }
    let windows = bench.windows().await?;
    let window = windows[0].clone();
    let length = usize::try_from(window.end - window.start).unwrap_or(0);
    let mut refused = 0;
    let (no_hole, fast_zero) = (WriteFlags::NO_HOLE, WriteFlags::FAST_ZERO);
    for flags in [WriteFlags::empty(), no_hole, fast_zero, no_hole | fast_zero] {
        let written = bench.dice.bytes(length);
        write(bench, window.start, written.clone(), WriteFlags::empty()).await?;
        let device = bench.device();
        let zeroed = device
            .zero(&bench.deadline(), window.start, length as u64, flags)
            .await;
        let expected = match &zeroed {
            Err(failure) if flags.contains(fast_zero) && failure.errno == Errno::Enotsup => {
                refused += 1;
                written
            }
            _ => {
                bench.done(zeroed, &format!("zero {} {flags:?}", show(&window)))?;
                vec![0; length]
            }
        };
        let read = bench.read(window.clone()).await?;
        if let Some(difference) = difference(window.start, &expected, &read) {
            return broken(format!("after {flags:?}, expected and read: {difference}"));
        }
    }
    Ok(format!("four modes, {refused} fast zeroes refused"))
}

/// Flush, and every change with FUA.
pub(super) async fn durable<S: Subject>(bench: &mut Bench<'_, S>) -> Checked {
    must_be_allowed(bench)?;
    let windows = bench.windows().await?;
    let window = windows[0].clone();
    let length = window.end - window.start;
    let bytes = bench.dice.bytes(usize::try_from(length).unwrap_or(0));
    flush(bench).await?;
    write(bench, window.start, bytes.clone(), WriteFlags::FUA).await?;
    let read = bench.read(window.clone()).await?;
    if let Some(difference) = difference(window.start, &bytes, &read) {
        return broken(format!("after a write with FUA: {difference}"));
    }
    flush(bench).await?;
    if bench.offers(ExportFlags::SEND_WRITE_ZEROES) {
        trim(bench, window.start, length, WriteFlags::FUA).await?;
        zero(bench, window.start, length, WriteFlags::FUA).await?;
        flush(bench).await?;
    }
    Ok("flush, and changes with FUA".to_owned())
}
