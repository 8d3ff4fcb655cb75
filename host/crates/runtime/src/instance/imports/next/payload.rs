//! Writes to the layer below: by reference from the payload, and of bytes from the guest.

use bytes::Bytes;
use device::fault::{Cause, Failure};
use nbdbox_config::limits::DIRECT;
use wasmtime::component::{LinkerInstance, Resource, WasmList};

use super::{Outcome, Store, answer, question, refuse};
use crate::abi::wit::WriteFlags;
use crate::instance::guest::Guest;
use crate::instance::imports::WritePayloadHandle;
use crate::instance::imports::waiting::{Asked, Asking, waiting};
use crate::instance::request::{StorePiece, Target};
use crate::meter::call::WaitsFor;
use crate::meter::host_trap::HostTrap;
use crate::next::{Misuse, Next};

type Handle = Resource<WritePayloadHandle>;

pub(super) fn link(linker: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "forward",
        |mut store: Store<'_>, (_, offset, start, length): (Handle, u64, u32, u32)| {
            store.data_mut().count_host_call();
            forward(store.data_mut(), offset, start, length)?;
            Ok(())
        },
    )?;
    waiting(
        linker,
        "store",
        WaitsFor::LayerBelow,
        |store, (_, offset, start, length, mode): (Handle, u64, u32, u32, WriteFlags)| {
            let guest = store.data_mut();
            let payload = Some(part(guest, start, length)?);
            let changes = guest.ctx.grants.changes_bytes;
            write(guest, offset, payload, mode, changes)
        },
        |guest, done| Ok((answer(guest, done),)),
    )?;
    waiting(
        linker,
        "write",
        WaitsFor::LayerBelow,
        |store, (offset, bytes, mode): (u64, WasmList<u8>, WriteFlags)| {
            let bytes = match bytes.len() <= DIRECT as usize {
                true => Some(Bytes::copy_from_slice(bytes.as_le_slice(&*store))),
                false => None,
            };
            write(store.data_mut(), offset, bytes, mode, false)
        },
        |guest, done| Ok((answer(guest, done),)),
    )
}

/// Plans that the host sends a part of the payload to the layer below.
///
/// # Errors
/// There is no layer below or no payload, or the part is outside the payload.
fn forward(guest: &mut Guest, offset: u64, start: u32, length: u32) -> Result<(), HostTrap> {
    let next = guest.next()?;
    part(guest, start, length)?;
    if length == 0 {
        return Ok(());
    }
    if let Err(misuse) = check(&next, offset, length.into(), guest.ctx.grants.changes_bytes) {
        guest.blame_misuse(misuse);
        return Ok(());
    }
    let piece = StorePiece {
        target: Target::Below,
        offset,
        start: start as usize,
        length: length as usize,
    };
    if !guest.plan()?.store(piece) {
        guest.blame(Cause::Budget, "the plugin stored in too many pieces");
    }
    Ok(())
}

/// Returns a part of the payload without a copy.
///
/// # Errors
/// The part is outside the payload, or the call isn't a write.
fn part(guest: &mut Guest, start: u32, length: u32) -> Result<Bytes, HostTrap> {
    let payload = &guest.plan()?.payload;
    let start = start as usize;
    let end = start.saturating_add(length as usize);
    if end > payload.len() {
        return Err(HostTrap::Payload);
    }
    Ok(payload.slice(start..end))
}

fn check(next: &Next, offset: u64, length: u64, changes: bool) -> Result<(), Misuse> {
    if changes {
        return Err(Misuse::Changed);
    }
    next.check_writable()?;
    next.check_transfer(offset, length)
}

/// Writes `bytes` to the layer below. `None` stands for more bytes than a guest may pass at once.
fn write(
    guest: &mut Guest,
    offset: u64,
    bytes: Option<Bytes>,
    mode: WriteFlags,
    changes: bool,
) -> Asking<(Outcome<()>,), impl Future<Output = Result<(), Failure>> + Send + use<>> {
    let (next, deadline) = question(guest)?;
    let checked = match bytes {
        None => Err(Misuse::Length),
        Some(bytes) => check(&next, offset, bytes.len() as u64, changes).map(|()| bytes),
    };
    let bytes = match checked {
        Ok(bytes) => bytes,
        Err(misuse) => return Ok(Asked::Answer((refuse(guest, misuse),))),
    };
    if bytes.is_empty() {
        return Ok(Asked::Answer((Ok(()),)));
    }
    let flags = mode.into();
    Ok(Asked::Wait(async move {
        deadline.ask()?;
        next.write(&deadline, offset, bytes, flags).await
    }))
}
