//! `interface next`: the layer below a filter. Every question is checked here, whoever asks.

mod extents;
mod payload;
mod reply;

use std::sync::Arc;
use std::time::Duration;

use device::fault::Failure;
use nbd_proto::ExportFlags;
use wasmtime::StoreContextMut;
use wasmtime::component::LinkerInstance;

use crate::abi::wit::{Errno, LayerInfo, WriteFlags};
use crate::instance::guest::Guest;
use crate::meter::stop::Stop;
use crate::next::{Misuse, Next};

/// The longest pause at once. Restrains the filter, beside its time on the clock.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

type Store<'a> = StoreContextMut<'a, Guest>;
type Outcome<T> = Result<T, Errno>;

pub(super) fn link(linker: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    linker.func_wrap("describe", |store: Store<'_>, (): ()| {
        Ok((describe(&*store.data().next()?),))
    })?;
    reply::link(linker)?;
    payload::link(linker)?;
    extents::link(linker)?;
    link_ranges(linker)
}

fn describe(next: &Next) -> LayerInfo {
    let export = next.export();
    LayerInfo {
        size: export.size,
        minimum: export.block.minimum(),
        preferred: export.block.preferred(),
        maximum: export.block.maximum(),
        read_only: next.has(ExportFlags::READ_ONLY),
        immutable: next.is_immutable(),
        zeroable: next.has(ExportFlags::SEND_TRIM | ExportFlags::SEND_WRITE_ZEROES),
        sparse: export.allocation,
        prefetch: next.has(ExportFlags::SEND_CACHE),
    }
}

/// Questions without bytes.
fn link_ranges(linker: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    linker.func_wrap_async("pause", |mut store: Store<'_>, (milliseconds,): (u32,)| {
        Box::new(async move {
            store.data().next()?;
            store.data_mut().take_question()?;
            let pause = Duration::from_millis(milliseconds.into()).min(LONGEST_PAUSE);
            tokio::time::sleep(pause).await;
            super::after_waiting(&mut store);
            Ok(())
        })
    })?;
    linker.func_wrap_async("flush", |mut store: Store<'_>, (): ()| {
        Box::new(async move {
            let next = enter(&mut store)?;
            let done = next.flush().await;
            Ok((leave(&mut store, done),))
        })
    })?;
    linker.func_wrap_async(
        "trim",
        |mut store: Store<'_>, (offset, length, mode): (u64, u64, WriteFlags)| {
            Box::new(async move {
                let next = enter(&mut store)?;
                if let Err(misuse) = check_change(&next, offset, length) {
                    return Ok((refuse(&mut store, misuse),));
                }
                let done = next.trim(offset, length, mode.into()).await;
                Ok((leave(&mut store, done),))
            })
        },
    )?;
    linker.func_wrap_async(
        "zero",
        |mut store: Store<'_>, (offset, length, mode): (u64, u64, WriteFlags)| {
            Box::new(async move {
                let next = enter(&mut store)?;
                if let Err(misuse) = check_change(&next, offset, length) {
                    return Ok((refuse(&mut store, misuse),));
                }
                let done = next.zero(offset, length, mode.into()).await;
                Ok((leave(&mut store, done),))
            })
        },
    )?;
    linker.func_wrap_async(
        "cache",
        |mut store: Store<'_>, (offset, length): (u64, u64)| {
            Box::new(async move {
                let next = enter(&mut store)?;
                if let Err(misuse) = next.check(offset, length) {
                    return Ok((refuse(&mut store, misuse),));
                }
                let done = next.cache(offset, length).await;
                Ok((leave(&mut store, done),))
            })
        },
    )
}

fn check_change(next: &Next, offset: u64, length: u64) -> Result<(), Misuse> {
    next.check_writable()?;
    next.check(offset, length)
}

/// The layer below has the word: the guest's own clocks stand.
fn enter(store: &mut Store<'_>) -> Result<Arc<Next>, Stop> {
    let guest = store.data_mut();
    let next = guest.next()?;
    guest.take_question()?;
    guest.cpu.pause()?;
    guest.waits.enter();
    Ok(next)
}

/// The layer below has answered: an errno for the guest, and its words, should the guest return it.
fn leave<T>(store: &mut Store<'_>, done: Result<T, Failure>) -> Outcome<T> {
    go_on(store);
    done.map_err(|failure| {
        store.data_mut().explain(&failure.text);
        failure.errno.into()
    })
}

/// The question isn't passed on.
fn refuse<T>(store: &mut Store<'_>, misuse: Misuse) -> Outcome<T> {
    go_on(store);
    store.data_mut().explain(&misuse.to_string());
    Err(match misuse {
        Misuse::ReadOnly => Errno::Eperm,
        Misuse::Range | Misuse::Blocks | Misuse::Length | Misuse::Changed => Errno::Einval,
    })
}

fn go_on(store: &mut Store<'_>) {
    let guest = store.data_mut();
    guest.waits.leave();
    guest.cpu.resume();
    super::after_waiting(store);
}
