//! `interface blobs`: direct use of granted blobs. `requests` has their use by reference.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use blob::{self, Blob, BlobError};
use bytes::Bytes;
use device::{Deadline, Payer, Zeroes};
use nbdbox_config::limits::DIRECT;
use wasmtime::StoreContextMut;
use wasmtime::component::{LinkerInstance, Resource, ResourceType, WasmList, WasmStr};

use super::BlobHandle;
use super::waiting::{Asked, waiting};
use super::wanted::{NoAnswer, while_wanted};
use crate::abi::names::log_export;
use crate::abi::wit::{Access, Errno, WriteFlags};
use crate::instance::context::ExportContext;
use crate::instance::guest::Guest;
use crate::meter::call::WaitsFor;
use crate::storage;

type Store<'a> = StoreContextMut<'a, Guest>;
type Handle = Resource<BlobHandle>;
type Outcome<T> = Result<T, Errno>;

pub(super) fn link(linker: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    linker.resource(
        "blob",
        ResourceType::host::<BlobHandle>(),
        |mut store, _| {
            store.data_mut().drop_handle();
            Ok(())
        },
    )?;
    linker.func_wrap(
        "[static]blob.open",
        |mut store: Store<'_>, (name,): (WasmStr,)| {
            let name = name.to_str(&store)?;
            let found = store
                .data()
                .ctx
                .grants
                .blobs
                .iter()
                .position(|blob| blob.name() == name);
            let Some(rep) = found.and_then(|index| u32::try_from(index).ok()) else {
                let text = format!("the operator granted no blob `{}`", name.escape_debug());
                store.data_mut().explain(&text);
                return Ok((Err(Errno::Eperm),));
            };
            store.data_mut().take_handle()?;
            Ok((Ok(Handle::new_own(rep)),))
        },
    )?;
    linker.func_wrap(
        "[method]blob.access",
        |store: Store<'_>, (blob,): (Handle,)| {
            Ok((Access::from(store.data().blob(blob.rep())?.access()),))
        },
    )?;
    linker.func_wrap(
        "[method]blob.size",
        |store: Store<'_>, (blob,): (Handle,)| {
            Ok((Outcome::Ok(store.data().blob(blob.rep())?.size()),))
        },
    )?;
    linker.func_wrap(
        "[method]blob.prefetch",
        |store: Store<'_>, (blob, offset, length): (Handle, u64, u64)| {
            let blob = store.data().blob(blob.rep())?;
            Ok((blob
                .prefetch(offset, length)
                .map_err(|error| errno(store.data(), blob, &error)),))
        },
    )?;
    link_read(linker)?;
    link_changes(linker)
}

fn link_read(linker: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    waiting(
        linker,
        "[method]blob.read",
        WaitsFor::Blob,
        |store, (blob, offset, length): (Handle, u64, u32)| {
            let blob = store.data().blob(blob.rep())?.clone();
            if blob.access() < blob::Access::ReadOnly {
                return Ok(Asked::Answer((Err(Errno::Eperm),)));
            }
            if length > DIRECT {
                return Ok(Asked::Answer((Err(Errno::Einval),)));
            }
            let (ctx, request) = (
                Arc::clone(&store.data().ctx),
                store.data().call.request().cloned(),
            );
            Ok(Asked::Wait(async move {
                let read = blob.read(offset, length as usize);
                let read = storage::wait(&ctx, &blob, "read", read);
                let read = while_wanted(request.as_ref(), read).await;
                (blob, read)
            }))
        },
        answer,
    )
}

fn link_changes(linker: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    waiting(
        linker,
        "[method]blob.write",
        WaitsFor::Blob,
        |store, (blob, offset, bytes, mode): (Handle, u64, WasmList<u8>, WriteFlags)| {
            let bytes = Bytes::copy_from_slice(bytes.as_le_slice(&*store));
            let Some(blob) = writable(store, &blob)? else {
                return Ok(Asked::Answer((Err(Errno::Eperm),)));
            };
            // The same errno as for a client that writes past the end of an export.
            if blob.check(offset, bytes.len() as u64).is_err() {
                return Ok(Asked::Answer((Err(Errno::Enospc),)));
            }
            let ctx = Arc::clone(&store.data().ctx);
            Ok(Asked::Wait(async move {
                let write = blob.write(offset, bytes, mode.into());
                let done = storage::wait(&ctx, &blob, "write", write).await;
                (blob, done.map_err(NoAnswer::from))
            }))
        },
        answer,
    )?;
    waiting(
        linker,
        "[method]blob.flush",
        WaitsFor::Blob,
        |store, (blob,): (Handle,)| {
            let Some(blob) = writable(store, &blob)? else {
                // The guest can't have written anything.
                return Ok(Asked::Answer((Ok(()),)));
            };
            let ctx = Arc::clone(&store.data().ctx);
            Ok(Asked::Wait(async move {
                let done = storage::wait(&ctx, &blob, "flush", blob.flush()).await;
                (blob, done.map_err(NoAnswer::from))
            }))
        },
        answer,
    )?;
    waiting(
        linker,
        "[method]blob.trim",
        WaitsFor::Blob,
        |store, (blob, offset, length, mode): (Handle, u64, u64, WriteFlags)| {
            let Some(blob) = writable(store, &blob)? else {
                return Ok(Asked::Answer((Err(Errno::Eperm),)));
            };
            let ctx = Arc::clone(&store.data().ctx);
            Ok(Asked::Wait(async move {
                let trim = blob.trim(offset, length, mode.into());
                let done = storage::wait(&ctx, &blob, "trim", trim).await;
                (blob, done.map_err(NoAnswer::from))
            }))
        },
        answer,
    )?;
    waiting(
        linker,
        "[method]blob.zero",
        WaitsFor::Blob,
        |store, (blob, offset, length, mode): (Handle, u64, u64, WriteFlags)| {
            let Some(blob) = writable(store, &blob)? else {
                return Ok(Asked::Answer((Err(Errno::Eperm),)));
            };
            let (ctx, request) = (
                Arc::clone(&store.data().ctx),
                store.data().call.request().cloned(),
            );
            Ok(Asked::Wait(async move {
                let done = zero(
                    &ctx,
                    request.as_ref(),
                    &blob,
                    offset..offset.saturating_add(length),
                    mode.into(),
                )
                .await;
                (blob, done)
            }))
        },
        answer,
    )
}

/// Returns the blob if the operator granted it `rw`; otherwise `None`.
fn writable(store: &Store<'_>, handle: &Handle) -> wasmtime::Result<Option<Blob>> {
    let blob = store.data().blob(handle.rep())?;
    let writable = blob.access() == blob::Access::ReadWrite;
    Ok(writable.then(|| blob.clone()))
}

/// Zeroes a range. If the blob can't do that itself, the host writes zeroes piece by piece, until the request has
/// ended.
///
/// # Errors
/// The blob's error, or that the request has ended.
async fn zero(
    ctx: &ExportContext,
    request: Option<&Deadline>,
    blob: &Blob,
    range: Range<u64>,
    flags: device::WriteFlags,
) -> Result<(), NoAnswer> {
    let length = range.end - range.start;
    let zero = blob.zero(range.start, length, flags);
    let done = storage::wait(ctx, blob, "zero", zero).await;
    let (Err(BlobError::Unsupported(_)), Some(deadline)) = (&done, request) else {
        return Ok(done?);
    };
    if flags.contains(device::WriteFlags::FAST_ZERO) {
        return Ok(done?);
    }
    let payer = Payer {
        deadline,
        metrics: &ctx.metrics,
        rates: ctx.quota.rates(),
    };
    let mut zeroes = Zeroes::new(payer, length, u32::MAX);
    let shown = storage::show(ctx, blob, "zero", Instant::now());
    while let Some((at, bytes)) = zeroes.next().await? {
        shown.note_progress(at, length);
        let piece = blob.write(range.start + at, bytes, device::WriteFlags::empty());
        storage::wait(ctx, blob, "write", piece).await?;
    }
    if flags.contains(device::WriteFlags::FUA) {
        storage::wait(ctx, blob, "flush", blob.flush()).await?;
    }
    Ok(())
}

/// The second half of the functions of a blob: the blob's answer as the guest gets it.
fn answer<T>(
    guest: &mut Guest,
    (blob, done): (Blob, Result<T, NoAnswer>),
) -> wasmtime::Result<(Outcome<T>,)> {
    Ok((done.map_err(|unanswered| unanswered.errno(guest, &blob)),))
}

impl NoAnswer {
    /// Returns the errno for the plugin. If the request has ended, it also keeps the reason as the errno's text.
    pub(super) fn errno(&self, guest: &mut Guest, blob: &Blob) -> Errno {
        match self {
            Self::Blob(error) => errno(guest, blob, error),
            Self::Ended(failure) => {
                guest.explain(&failure.text);
                failure.errno.into()
            }
        }
    }
}

/// Returns the errno for the plugin. Logs an error that is the host's.
pub(super) fn errno(guest: &Guest, blob: &Blob, error: &BlobError) -> Errno {
    match error {
        BlobError::Range { .. } => Errno::Einval,
        BlobError::Unsupported(_) => Errno::Enotsup,
        BlobError::Shrunk { .. } | BlobError::Io { .. } => {
            log_export!(error, &guest.ctx.names, blob = blob.name(), "{error}");
            if error.is_full() {
                Errno::Enospc
            } else {
                Errno::Eio
            }
        }
    }
}
