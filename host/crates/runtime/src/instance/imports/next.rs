//! `interface next`: the layer below a filter. This module checks each request to it, for all functions.

mod extents;
mod payload;
mod reply;

use std::sync::Arc;
use std::time::Duration;

use device::Deadline;
use device::fault::Failure;
use nbd_proto::ExportFlags;
use wasmtime::StoreContextMut;
use wasmtime::component::LinkerInstance;

use super::waiting::{Asked, waiting};
use crate::abi::wit::{Errno, LayerInfo, WriteFlags};
use crate::instance::guest::Guest;
use crate::meter::call::WaitsFor;
use crate::meter::host_trap::HostTrap;
use crate::next::{Misuse, Next};

/// The longest pause of one call. Restrains the filter, in addition to its wall time.
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
        sparse: next.is_sparse(),
        prefetch: next.has(ExportFlags::SEND_CACHE),
    }
}

/// Links the functions that move no bytes: `pause`, `flush`, `trim`, `zero` and `cache`.
fn link_ranges(linker: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    waiting(
        linker,
        "pause",
        WaitsFor::Pause,
        |store, (milliseconds,): (u32,)| {
            let (_, deadline) = question(store.data_mut())?;
            let pause = Duration::from_millis(milliseconds.into()).min(LONGEST_PAUSE);
            Ok(Asked::Wait(async move {
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    // The filter's next request to the layer below then fails.
                    () = deadline.abandoned() => {}
                }
            }))
        },
        |_, ()| Ok(()),
    )?;
    waiting(
        linker,
        "flush",
        WaitsFor::LayerBelow,
        |store, (): ()| {
            let (next, deadline) = question(store.data_mut())?;
            Ok(Asked::Wait(async move {
                deadline.ask()?;
                next.flush(&deadline).await
            }))
        },
        |guest, done| Ok((answer(guest, done),)),
    )?;
    waiting(
        linker,
        "trim",
        WaitsFor::LayerBelow,
        |store, (offset, length, mode): (u64, u64, WriteFlags)| {
            let (next, deadline) = question(store.data_mut())?;
            if let Err(misuse) = check_change(&next, offset, length) {
                return Ok(Asked::Answer((refuse(store.data_mut(), misuse),)));
            }
            let flags = mode.into();
            Ok(Asked::Wait(async move {
                deadline.ask()?;
                next.trim(&deadline, offset, length, flags).await
            }))
        },
        |guest, done| Ok((answer(guest, done),)),
    )?;
    waiting(
        linker,
        "zero",
        WaitsFor::LayerBelow,
        |store, (offset, length, mode): (u64, u64, WriteFlags)| {
            let (next, deadline) = question(store.data_mut())?;
            if let Err(misuse) = check_change(&next, offset, length) {
                return Ok(Asked::Answer((refuse(store.data_mut(), misuse),)));
            }
            let flags = mode.into();
            Ok(Asked::Wait(async move {
                deadline.ask()?;
                next.zero(&deadline, offset, length, flags).await
            }))
        },
        |guest, done| Ok((answer(guest, done),)),
    )?;
    waiting(
        linker,
        "cache",
        WaitsFor::LayerBelow,
        |store, (offset, length): (u64, u64)| {
            let (next, deadline) = question(store.data_mut())?;
            if let Err(misuse) = next.check(offset, length) {
                return Ok(Asked::Answer((refuse(store.data_mut(), misuse),)));
            }
            Ok(Asked::Wait(async move {
                deadline.ask()?;
                next.cache(&deadline, offset, length).await
            }))
        },
        |guest, done| Ok((answer(guest, done),)),
    )
}

fn check_change(next: &Next, offset: u64, length: u64) -> Result<(), Misuse> {
    next.check_writable()?;
    next.check(offset, length)
}

/// Counts another request to the layer below. Returns that layer, and the deadline of the request that the filter
/// serves.
///
/// # Errors
/// There is no layer below, or the call has sent as many requests as it may.
fn question(guest: &mut Guest) -> Result<(Arc<Next>, Deadline), HostTrap> {
    let next = guest.next()?;
    guest.take_question()?;
    let request = guest.call.request().ok_or(HostTrap::Below)?;
    Ok((next, request.clone()))
}

/// Turns the layer's answer into the guest's. For a failure, it keeps the text for the case that the guest returns the
/// errno.
fn answer<T>(guest: &mut Guest, done: Result<T, Failure>) -> Outcome<T> {
    done.map_err(|failure| {
        guest.explain(&failure.text);
        failure.errno.into()
    })
}

/// Answers a request that the layer below doesn't allow, without passing it on.
fn refuse<T>(guest: &mut Guest, misuse: Misuse) -> Outcome<T> {
    guest.explain(&misuse.to_string());
    Err(match misuse {
        Misuse::ReadOnly => Errno::Eperm,
        Misuse::Range | Misuse::Blocks | Misuse::Length | Misuse::Changed => Errno::Einval,
    })
}
