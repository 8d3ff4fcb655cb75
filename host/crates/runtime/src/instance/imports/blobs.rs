//! `interface blobs`: direct use of granted files. By reference: see `requests`.

use blob::{self, Blob, BlobError};
use bytes::Bytes;
use nbdbox_config::limits::DIRECT;
use wasmtime::StoreContextMut;
use wasmtime::component::{LinkerInstance, Resource, ResourceType, WasmList, WasmStr};

use super::BlobHandle;
use crate::abi::names::tell;
use crate::abi::wit::{Access, Errno, WriteFlags};
use crate::instance::guest::Guest;

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
                let text = format!("no blob `{}` was granted", name.escape_debug());
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
    linker.func_wrap_async(
        "[method]blob.read",
        |mut store: Store<'_>, (blob, offset, length): (Handle, u64, u32)| {
            Box::new(async move {
                let blob = store.data().blob(blob.rep())?.clone();
                let bytes = if blob.access() < blob::Access::ReadOnly {
                    Err(Errno::Eperm)
                } else if length > DIRECT {
                    Err(Errno::Einval)
                } else {
                    let read = blob.read(offset, length as usize).await;
                    read.map_err(|error| errno(store.data(), &blob, &error))
                };
                super::after_waiting(&mut store);
                Ok((bytes,))
            })
        },
    )
}

fn link_changes(linker: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    linker.func_wrap_async(
        "[method]blob.write",
        |mut store: Store<'_>,
         (blob, offset, bytes, mode): (Handle, u64, WasmList<u8>, WriteFlags)| {
            Box::new(async move {
                let bytes = Bytes::copy_from_slice(bytes.as_le_slice(&store));
                let fua = mode.contains(WriteFlags::FUA);
                let blob = writable(&store, &blob)?;
                let done = match &blob {
                    // As for a client that writes past the end of an export.
                    Ok(blob) if blob.check(offset, bytes.len() as u64).is_err() => {
                        return Ok((Err(Errno::Enospc),));
                    }
                    Ok(blob) => blob.write(offset, bytes, fua).await,
                    Err(error) => return Ok((Err(*error),)),
                };
                finish(&mut store, blob, done)
            })
        },
    )?;
    linker.func_wrap_async(
        "[method]blob.flush",
        |mut store: Store<'_>, (blob,): (Handle,)| {
            Box::new(async move {
                let blob = writable(&store, &blob)?;
                let done = match &blob {
                    Ok(blob) => blob.flush().await,
                    // Nothing can have been written.
                    Err(_) => return Ok((Ok(()),)),
                };
                finish(&mut store, blob, done)
            })
        },
    )?;
    linker.func_wrap_async(
        "[method]blob.trim",
        |mut store: Store<'_>, (blob, offset, length, mode): (Handle, u64, u64, WriteFlags)| {
            Box::new(async move {
                let blob = writable(&store, &blob)?;
                let done = match &blob {
                    Ok(blob) => {
                        blob.trim(offset, length, mode.contains(WriteFlags::FUA))
                            .await
                    }
                    Err(error) => return Ok((Err(*error),)),
                };
                finish(&mut store, blob, done)
            })
        },
    )?;
    linker.func_wrap_async(
        "[method]blob.zero",
        |mut store: Store<'_>, (blob, offset, length, mode): (Handle, u64, u64, WriteFlags)| {
            Box::new(async move {
                let blob = writable(&store, &blob)?;
                let has = |flag| mode.contains(flag);
                let (no_hole, fast) = (has(WriteFlags::NO_HOLE), has(WriteFlags::FAST_ZERO));
                let done = match &blob {
                    Ok(blob) => {
                        blob.zero(offset, length, no_hole, fast, has(WriteFlags::FUA))
                            .await
                    }
                    Err(error) => return Ok((Err(*error),)),
                };
                finish(&mut store, blob, done)
            })
        },
    )
}

/// The blob, if it was granted `rw`.
fn writable(store: &Store<'_>, handle: &Handle) -> wasmtime::Result<Outcome<Blob>> {
    let blob = store.data().blob(handle.rep())?;
    Ok(match blob.access() {
        blob::Access::ReadWrite => Ok(blob.clone()),
        _ => Err(Errno::Eperm),
    })
}

fn finish(
    store: &mut Store<'_>,
    blob: Outcome<Blob>,
    done: Result<(), BlobError>,
) -> wasmtime::Result<(Outcome<()>,)> {
    super::after_waiting(store);
    let told = |blob| done.map_err(|error| errno(store.data(), &blob, &error));
    Ok((blob.and_then(told),))
}

/// The errno for the plugin. What is the host's affair is told to the operator.
pub(super) fn errno(guest: &Guest, blob: &Blob, error: &BlobError) -> Errno {
    match error {
        BlobError::Range { .. } => Errno::Einval,
        BlobError::Unsupported(_) => Errno::Enotsup,
        BlobError::Shrunk { .. } | BlobError::Io { .. } => {
            tell!(error, &guest.ctx.names, blob = blob.name(), "{error}");
            if error.is_full() {
                Errno::Enospc
            } else {
                Errno::Eio
            }
        }
    }
}
