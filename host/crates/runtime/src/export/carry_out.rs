//! What a guest planned by reference, carried out after its call has returned. The host moves the bytes between client,
//! blobs and the layer below, and the guest sees none of them.
//!
//! The futures of this file may be dropped at any time. Then the request is given up, and any part of its plan may have
//! been carried out.

use std::collections::BTreeMap;
use std::sync::Arc;

use blob::{BlobError, Mark};
use device::fault::{Cause, Failure};
use device::reply::ReadReply;
use device::{Deadline, WriteFlags};
use nbd_proto::Errno;

use crate::abi::names::log_export;
use crate::instance::context::ExportContext;
use crate::instance::request::{StorePiece, Target, WritePlan};
use crate::next::Next;
use crate::storage;

/// Fills the places that the guest reserved in its reply: from the layer below, and from blobs.
///
/// # Errors
/// The layer below or a blob failed, or the request has ended.
pub(crate) async fn read(
    ctx: &ExportContext,
    deadline: &Deadline,
    mut reply: Box<ReadReply>,
) -> Result<Box<ReadReply>, Failure> {
    if !reply.reads_below().is_empty() {
        reply = read_below(next(ctx)?, deadline, reply).await?;
    }
    if !reply.reads().is_empty() {
        // One wait for all blobs of the reply, under the first one's name.
        let first = reply.reads().first().map_or(0, |read| read.blob);
        let blobs = &ctx.grants.blobs;
        let filling = blob::fill_from_blobs(blobs, reply);
        let filling = storage::wait(ctx, &blobs[first as usize], "read", filling);
        let filled = deadline.standing(filling).await;
        reply = filled.map_err(|error| blob_failure(ctx, &error))?;
    }
    // Clears the plan: a layer above would take the rest of it for its own.
    reply.carried_out();
    Ok(reply)
}

/// Reads the parts of a reply that come from the layer below. If the whole reply does, it becomes that layer's own
/// reply, with its zeroes, and no byte is copied.
async fn read_below(
    next: &Next,
    deadline: &Deadline,
    mut reply: Box<ReadReply>,
) -> Result<Box<ReadReply>, Failure> {
    if let (Some(offset), [read]) = (reply.wholly_below(), reply.reads_below()) {
        let length = read.length;
        return next.read(deadline, offset, length, reply).await;
    }
    let mut answer = Box::<ReadReply>::default();
    for index in 0..reply.reads_below().len() {
        let read = reply.reads_below()[index];
        deadline.check()?;
        answer = next
            .read(deadline, read.offset, read.length, answer)
            .await?;
        reply.put(&read, &answer);
    }
    Ok(reply)
}

/// Moves the parts of a write's payload to their targets, in the order of the plan. With FUA, they're durable when it
/// returns.
///
/// # Errors
/// The layer below or a blob failed, or the request has ended. Earlier parts of the plan have been carried out.
pub(crate) async fn write(
    ctx: &ExportContext,
    deadline: &Deadline,
    plan: WritePlan,
    flags: WriteFlags,
) -> Result<(), Failure> {
    let durable = match flags.contains(WriteFlags::FUA) {
        true => ends(&plan.stores),
        false => BTreeMap::new(),
    };
    for (index, piece) in plan.stores.iter().enumerate() {
        deadline.check()?;
        let bytes = plan.payload.slice(piece.start..piece.start + piece.length);
        match piece.target {
            Target::Below => {
                next(ctx)?
                    .write(deadline, piece.offset, bytes, flags)
                    .await?;
            }
            Target::Blob(blob) => {
                let durable = durable.get(&blob).filter(|ends| ends.last == index);
                let is_only = durable.is_some_and(|ends| ends.first == index);
                let flags = if is_only { flags } else { WriteFlags::empty() };
                let blob = &ctx.grants.blobs[blob as usize];
                let stored = deadline.standing(async {
                    let write = blob.write(piece.offset, bytes, flags);
                    storage::wait(ctx, blob, "write", write).await?;
                    match durable {
                        Some(_) if !is_only => {
                            storage::wait(ctx, blob, "flush", blob.flush()).await
                        }
                        _ => Ok(()),
                    }
                });
                let stored = stored.await;
                stored.map_err(|error| blob_failure(ctx, &error))?;
            }
        }
    }
    Ok(())
}

/// The indices of the first and the last piece of a plan that go to the same blob.
#[derive(Clone, Copy)]
struct Ends {
    first: usize,
    last: usize,
}

/// Returns the ends of each blob that a plan writes to. FUA makes only the plan's own bytes durable: if a blob has one
/// piece, that piece is written with FUA; if it has several, one flush follows the last.
fn ends(stores: &[StorePiece]) -> BTreeMap<u32, Ends> {
    let mut ends = BTreeMap::new();
    for (index, piece) in stores.iter().enumerate() {
        if let Target::Blob(blob) = piece.target {
            let first = Ends {
                first: index,
                last: index,
            };
            ends.entry(blob).or_insert(first).last = index;
        }
    }
    ends
}

/// Makes durable what the host carried out. The guest's own flush doesn't suffice, because the host may have carried
/// out a write after it. `before` is a mark of the layer below, from before the guest's flush.
///
/// # Errors
/// The layer below or a blob failed.
pub(crate) async fn flush(
    ctx: &ExportContext,
    deadline: &Deadline,
    before: Option<Mark>,
) -> Result<(), Failure> {
    for blob in ctx.grants.blobs.iter().filter(|blob| blob.is_unsynced()) {
        let flush = storage::wait(ctx, blob, "flush", blob.flush());
        let synced = deadline.standing(flush).await;
        synced.map_err(|error| blob_failure(ctx, &error))?;
    }
    match ctx.grants.next.as_ref().zip(before) {
        Some((next, before)) if next.is_unflushed_since(before) => next.flush(deadline).await,
        _ => Ok(()),
    }
}

fn next(ctx: &ExportContext) -> Result<&Arc<Next>, Failure> {
    let lost = || Failure::host(Errno::Eio, "the host lost the layer below");
    ctx.grants.next.as_ref().ok_or_else(lost)
}

/// Logs why the host couldn't carry out a plan, and returns the failure for the client.
pub(crate) fn blob_failure(ctx: &ExportContext, error: &BlobError) -> Failure {
    log_export!(error, &ctx.names, "{error}");
    match error {
        error if error.is_full() => Failure::host(Errno::Enospc, "the host's disk is full"),
        BlobError::Range { .. } => {
            Failure::plugin(Cause::Range, "the plugin pointed outside a blob")
        }
        _ => Failure::host(Errno::Eio, "the host could not read or write the blob"),
    }
}
