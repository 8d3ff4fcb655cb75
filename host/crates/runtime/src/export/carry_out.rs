//! What a guest planned, carried out after its call has returned: bytes between client, blobs and the
//! layer below, of which the guest sees none.

use std::sync::Arc;

use blob::{BlobError, Mark};
use device::fault::{Cause, Failure};
use device::reply::ReadReply;
use device::{Deadline, WriteFlags};
use nbd_proto::Errno;

use crate::abi::names::log_export;
use crate::instance::context::ExportContext;
use crate::instance::request::{Target, WritePlan};
use crate::next::Next;

/// Fills the places that a reply reserved.
pub(crate) async fn read(
    ctx: &ExportContext,
    deadline: &Deadline,
    mut reply: Box<ReadReply>,
) -> Result<Box<ReadReply>, Failure> {
    if !reply.reads_below().is_empty() {
        reply = read_below(next(ctx)?, deadline, reply).await?;
    }
    if !reply.reads().is_empty() {
        let filled = deadline
            .standing(blob::fill_from_blobs(&ctx.grants.blobs, reply))
            .await;
        reply = filled.map_err(|error| blob_failure(ctx, &error))?;
    }
    // A layer above would take what is left of the plan for its own.
    reply.carried_out();
    Ok(reply)
}

/// A reply that is wholly the layer's is that layer's own, zeroes and all.
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

/// Moves the bytes of a write to where the plan says, in its order.
pub(crate) async fn write(
    ctx: &ExportContext,
    deadline: &Deadline,
    plan: WritePlan,
    flags: WriteFlags,
) -> Result<(), Failure> {
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
                // Once for each blob, with its last piece.
                let later = &plan.stores[index + 1..];
                let is_last = later.iter().all(|other| other.target != piece.target);
                let flags = if is_last { flags } else { WriteFlags::empty() };
                let blob = &ctx.grants.blobs[blob as usize];
                let write = blob.write(piece.offset, bytes, flags);
                let written = deadline.standing(write).await;
                written.map_err(|error| blob_failure(ctx, &error))?;
            }
        }
    }
    Ok(())
}

/// Makes durable what was carried out: a guest's own flush may have come in between, and then knew of
/// nothing more to do. `before`: a mark of the layer below, of before the guest's began.
pub(crate) async fn flush(
    ctx: &ExportContext,
    deadline: &Deadline,
    before: Option<Mark>,
) -> Result<(), Failure> {
    for blob in ctx.grants.blobs.iter().filter(|blob| blob.is_unsynced()) {
        let synced = deadline.standing(blob.flush()).await;
        synced.map_err(|error| blob_failure(ctx, &error))?;
    }
    match ctx.grants.next.as_ref().zip(before) {
        Some((next, before)) if next.is_unflushed_since(before) => next.flush(deadline).await,
        _ => Ok(()),
    }
}

fn next(ctx: &ExportContext) -> Result<&Arc<Next>, Failure> {
    let lost = || Failure::host(Errno::Eio, "the layer below was lost");
    ctx.grants.next.as_ref().ok_or_else(lost)
}

/// The host could not do what a plan said.
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
