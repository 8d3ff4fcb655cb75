//! Writes: by reference from the payload, and out of the guest.

use bytes::Bytes;
use device::fault::Cause;
use nbdbox_config::limits::DIRECT;
use wasmtime::component::{LinkerInstance, Resource, WasmList};

use super::{Outcome, Store, enter, leave, refuse};
use crate::abi::wit::WriteFlags;
use crate::instance::guest::Guest;
use crate::instance::imports::WritePayloadHandle;
use crate::instance::request::{StorePiece, Target};
use crate::meter::stop::Stop;
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
    linker.func_wrap_async(
        "store",
        |mut store: Store<'_>,
         (_, offset, start, length, mode): (Handle, u64, u32, u32, WriteFlags)| {
            Box::new(async move {
                let payload = part(store.data_mut(), start, length)?;
                let changes = store.data().ctx.grants.changes_bytes;
                Ok((write(&mut store, offset, payload, mode, changes).await?,))
            })
        },
    )?;
    linker.func_wrap_async(
        "write",
        |mut store: Store<'_>, (offset, bytes, mode): (u64, WasmList<u8>, WriteFlags)| {
            Box::new(async move {
                let too_long = bytes.len() > DIRECT as usize;
                let bytes = match too_long {
                    true => Bytes::new(),
                    false => Bytes::copy_from_slice(bytes.as_le_slice(&store)),
                };
                if too_long {
                    enter(&mut store)?;
                    return Ok((refuse(&mut store, Misuse::Length),));
                }
                Ok((write(&mut store, offset, bytes, mode, false).await?,))
            })
        },
    )
}

/// Plans that a part of the payload goes to the layer below.
fn forward(guest: &mut Guest, offset: u64, start: u32, length: u32) -> Result<(), Stop> {
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

/// A part of the payload; not a copy.
fn part(guest: &mut Guest, start: u32, length: u32) -> Result<Bytes, Stop> {
    let payload = &guest.plan()?.payload;
    let start = start as usize;
    let end = start.saturating_add(length as usize);
    if end > payload.len() {
        return Err(Stop::Payload);
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

async fn write(
    store: &mut Store<'_>,
    offset: u64,
    bytes: Bytes,
    mode: WriteFlags,
    changes: bool,
) -> wasmtime::Result<Outcome<()>> {
    let next = enter(store)?;
    if let Err(misuse) = check(&next, offset, bytes.len() as u64, changes) {
        return Ok(refuse(store, misuse));
    }
    if bytes.is_empty() {
        return Ok(leave(store, Ok(())));
    }
    let done = next.write(offset, bytes, mode.into()).await;
    Ok(leave(store, done))
}
