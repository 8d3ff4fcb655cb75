//! `interface requests`: what a request lends to the guest.
//!
//! The handles carry nothing, because there is at most one of each kind, and it's the current request's. The component
//! model itself stops a guest that keeps a handle beyond its call, or makes one up.

use std::ops::Range;
use std::sync::Arc;

use blob::{Access, Blob, SourceExtent};
use device::fault::Cause;
use device::reply::ReadReply;
use extent_map::{AddError, Kind, Progress as MapProgress, Wanted};
use wasmtime::StoreContextMut;
use wasmtime::component::{LinkerInstance, Resource, ResourceType, WasmList};

use super::blobs::errno;
use super::waiting::{Asked, Asking, waiting};
use super::wanted::{NoAnswer, while_wanted};
use super::{BlobHandle, ExtentsHandle, ReadReplyHandle, WritePayloadHandle};
use crate::abi::wit::{Errno, Extent, ExtentKind, Progress};
use crate::instance::guest::Guest;
use crate::instance::request::{StorePiece, Target};
use crate::meter::call::WaitsFor;
use crate::meter::host_trap::HostTrap;
use crate::storage;

type Store<'a> = StoreContextMut<'a, Guest>;
type Added = Result<Progress, Errno>;

pub(super) fn link(linker: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    link_read_reply(linker)?;
    link_write_payload(linker)?;
    link_extents(linker)
}

fn link_read_reply(linker: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    type Handle = Resource<ReadReplyHandle>;
    linker.resource(
        "read-reply",
        ResourceType::host::<ReadReplyHandle>(),
        |_, _| Ok(()),
    )?;
    linker.func_wrap(
        "[method]read-reply.data",
        |mut store: Store<'_>, (_, bytes): (Handle, WasmList<u8>)| {
            store.data_mut().count_host_call();
            // Taken out of the store for a moment, so that guest memory and reply can be borrowed together. So the
            // bytes are copied only once, from one to the other.
            let mut reply: Box<ReadReply> = store.data_mut().take_back()?;
            reply.data(bytes.as_le_slice(&store));
            store.data_mut().lend(reply);
            Ok(())
        },
    )?;
    linker.func_wrap(
        "[method]read-reply.zeroes",
        |mut store: Store<'_>, (_, length): (Handle, u64)| {
            store.data_mut().count_host_call();
            store.data_mut().reply()?.zeroes(length);
            Ok(())
        },
    )?;
    linker.func_wrap(
        "[method]read-reply.blob",
        |mut store: Store<'_>,
         (_, blob, offset, length): (Handle, Resource<BlobHandle>, u64, u64)| {
            store.data_mut().count_host_call();
            let guest = store.data_mut();
            match guest.blob(blob.rep())?.check(offset, length) {
                Ok(()) => guest.reply()?.blob(blob.rep(), offset, length),
                Err(_) => guest.blame(Cause::Range, "the plugin pointed outside a blob"),
            }
            Ok(())
        },
    )
}

fn link_write_payload(linker: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    type Handle = Resource<WritePayloadHandle>;
    linker.resource(
        "write-payload",
        ResourceType::host::<WritePayloadHandle>(),
        |_, _| Ok(()),
    )?;
    linker.func_wrap(
        "[method]write-payload.length",
        |mut store: Store<'_>, (_,): (Handle,)| {
            store.data_mut().count_host_call();
            let length = store.data_mut().plan()?.payload.len();
            // NBD bounds a payload to 32 MiB.
            Ok((u32::try_from(length).unwrap_or(u32::MAX),))
        },
    )?;
    linker.func_wrap(
        "[method]write-payload.read",
        |mut store: Store<'_>, (_, start, length): (Handle, u32, u32)| {
            store.data_mut().count_host_call();
            let payload = &store.data_mut().plan()?.payload;
            let start = start as usize;
            let end = start.saturating_add(length as usize);
            if end > payload.len() {
                return Err(HostTrap::Payload.into());
            }
            // A slice, not a copy. wasmtime copies the bytes when it lowers them into the guest's memory.
            Ok((payload.slice(start..end),))
        },
    )?;
    linker.func_wrap(
        "[method]write-payload.store",
        |mut store: Store<'_>,
         (_, blob, offset, start, length): (Handle, Resource<BlobHandle>, u64, u32, u32)| {
            store.data_mut().count_host_call();
            let guest = store.data_mut();
            let target = guest.blob(blob.rep())?;
            let fits = target.check(offset, length.into()).is_ok();
            let allowed = target.access() == Access::ReadWrite;
            let (start, length) = (start as usize, length as usize);
            let plan = guest.plan()?;
            if start.saturating_add(length) > plan.payload.len() || !fits {
                guest.blame(
                    Cause::Range,
                    "the plugin stored outside a blob or the payload",
                );
            } else if !allowed {
                guest.blame(
                    Cause::Range,
                    "the plugin stored into a blob that isn't writable",
                );
            } else if !plan.store(StorePiece {
                target: Target::Blob(blob.rep()),
                offset,
                start,
                length,
            }) {
                guest.blame(Cause::Budget, "the plugin stored in too many pieces");
            }
            Ok(())
        },
    )
}

fn link_extents(linker: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    type Handle = Resource<ExtentsHandle>;
    linker.resource("extents", ResourceType::host::<ExtentsHandle>(), |_, _| {
        Ok(())
    })?;
    linker.func_wrap(
        "[method]extents.add",
        |mut store: Store<'_>, (_, offset, length, kind): (Handle, u64, u64, ExtentKind)| {
            Ok((add(store.data_mut(), offset, length, kind.into())?,))
        },
    )?;
    linker.func_wrap(
        "[method]extents.add-all",
        |mut store: Store<'_>, (_, extents): (Handle, WasmList<Extent>)| {
            let mut added = Ok(Progress::More);
            for index in 0..extents.len() {
                // It's never `None`, because the index is below the length.
                let Some(extent) = extents.get(&mut store, index).transpose()? else {
                    break;
                };
                let kind = extent.kind.into();
                added = add(store.data_mut(), extent.offset, extent.length, kind)?;
                if added != Ok(Progress::More) {
                    break;
                }
            }
            Ok((added,))
        },
    )?;
    linker.func_wrap(
        "[method]extents.end-at",
        |mut store: Store<'_>, (_, offset): (Handle, u64)| {
            store
                .data_mut()
                .extents()?
                .end_at(offset)
                .map_err(|_| HostTrap::Extents)?;
            Ok(())
        },
    )?;
    waiting(
        linker,
        "[method]extents.blob",
        WaitsFor::Blob,
        |store, (_, blob, offset, length, position): (Handle, Resource<BlobHandle>, u64, u64, u64)| {
            ask_blob(store.data_mut(), blob.rep(), offset, length, position)
        },
        |guest, (search, found)| Ok((answer_blob(guest, &search, found)?,)),
    )
}

/// Adds an extent to the current report.
///
/// # Errors
/// The call may add no more extents, or it isn't a report. The inner error is the guest's.
pub(super) fn add(
    guest: &mut Guest,
    offset: u64,
    length: u64,
    kind: Kind,
) -> Result<Added, HostTrap> {
    match guest.extents()?.add(offset, length, kind) {
        Ok(progress) => Ok(Ok(progress.into())),
        Err(AddError::Overflow) => Ok(Err(Errno::Einval)),
        Err(AddError::BudgetExhausted) => Err(HostTrap::Extents),
    }
}

/// A search for the extents of a blob.
struct Search {
    blob: Blob,
    /// The range of the map that the extents go to.
    wanted: Range<u64>,
    /// Whether only the length of the first extent is needed.
    only: bool,
}

type Found = Result<Vec<SourceExtent>, NoAnswer>;

/// Checks the search, and searches for the extents that the map can still take.
fn ask_blob(
    guest: &mut Guest,
    rep: u32,
    offset: u64,
    length: u64,
    position: u64,
) -> Asking<(Added,), impl Future<Output = (Search, Found)> + Send + use<>> {
    let blob = guest.blob(rep)?.clone();
    let Some(end) = position.checked_add(length) else {
        return Ok(Asked::Answer((Err(Errno::Einval),)));
    };
    if let Err(error) = blob.check(offset, length) {
        return Ok(Asked::Answer((Err(errno(guest, &blob, &error)),)));
    }
    let most = guest.ctx.limits.extents;
    let map = guest.extents()?;
    // Charged for the call itself, even if it adds nothing.
    let progress = match map.add(position, 0, Kind::Data) {
        Ok(progress) => progress,
        Err(_) => return Err(HostTrap::Extents.into()),
    };
    let wanted = position.max(map.range().start)..end.min(map.end());
    let full = progress == MapProgress::Full;
    // A REQ_ONE request needs only its first extent, if the search is about that one.
    let only = map.wanted() == Wanted::One && wanted.start == map.range().start;
    let most = if only { 1 } else { most + 1 };
    if wanted.is_empty() || full {
        return Ok(Asked::Answer((Ok(progress.into()),)));
    }
    let from = offset + (wanted.start - position);
    let (ctx, request) = (Arc::clone(&guest.ctx), guest.call.request().cloned());
    Ok(Asked::Wait(async move {
        let found = blob.extents(from, wanted.end - wanted.start, most);
        let found = storage::wait(&ctx, &blob, "extents", found);
        let found = while_wanted(request.as_ref(), found).await;
        (Search { blob, wanted, only }, found)
    }))
}

/// Adds the extents that were found. If the search was for the first one only, the map ends after it.
fn answer_blob(guest: &mut Guest, search: &Search, found: Found) -> Result<Added, HostTrap> {
    let found = match found {
        Ok(found) => found,
        Err(unanswered) => return Ok(Err(unanswered.errno(guest, &search.blob))),
    };
    let (wanted, only) = (&search.wanted, search.only);
    let mut told = wanted.start;
    for extent in &found {
        let kind = if extent.data { Kind::Data } else { Kind::Hole };
        let added = add(guest, told, extent.length, kind)?;
        if added != Ok(Progress::More) {
            return Ok(added);
        }
        told += extent.length;
    }
    let map = guest.extents()?;
    if only && told < wanted.end {
        map.end_at(told).map_err(|_| HostTrap::Extents)?;
    }
    Ok(Ok(map.progress().into()))
}
