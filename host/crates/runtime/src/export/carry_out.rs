//! What a guest planned, carried out after its call has returned: bytes between client, blobs and the
//! layer below, of which the guest sees none.

use std::sync::Arc;

use blob::{Blob, BlobError};
use device::WriteFlags;
use device::fault::{Cause, Failure};
use device::reply::ReadReply;
use nbd_proto::Errno;

use crate::abi::names::tell;
use crate::instance::guest::{Surroundings, Target, WritePlan};
use crate::next::Next;

/// Fills the places that a reply reserved.
pub(crate) async fn read(
    around: &Surroundings,
    mut reply: Box<ReadReply>,
) -> Result<Box<ReadReply>, Failure> {
    if !reply.reads_below().is_empty() {
        reply = read_below(next(around)?, reply).await?;
    }
    if !reply.reads().is_empty() {
        let fulfilled = Blob::fulfil(&around.blobs, reply).await;
        reply = fulfilled.map_err(|error| blob_failure(around, &error))?;
    }
    // A layer above would take what is left of the plan for its own.
    reply.carried_out();
    Ok(reply)
}

/// A reply that is wholly the layer's is that layer's own, zeroes and all.
async fn read_below(next: &Next, mut reply: Box<ReadReply>) -> Result<Box<ReadReply>, Failure> {
    if let (Some(offset), [read]) = (reply.wholly_below(), reply.reads_below()) {
        let length = read.length;
        return next.read(offset, length, reply).await;
    }
    let mut answer = Box::<ReadReply>::default();
    for index in 0..reply.reads_below().len() {
        let read = reply.reads_below()[index];
        answer = next.read(read.offset, read.length, answer).await?;
        reply.put(&read, &answer);
    }
    Ok(reply)
}

/// Moves the bytes of a write to where the plan says, in its order.
pub(crate) async fn write(
    around: &Surroundings,
    plan: WritePlan,
    flags: WriteFlags,
) -> Result<(), Failure> {
    for (index, piece) in plan.stores.iter().enumerate() {
        let bytes = plan.payload.slice(piece.start..piece.start + piece.length);
        match piece.target {
            Target::Below => next(around)?.write(piece.offset, bytes, flags).await?,
            Target::Blob(blob) => {
                // Once for each blob, with its last piece.
                let later = &plan.stores[index + 1..];
                let fua = flags.contains(WriteFlags::FUA);
                let sync = fua && later.iter().all(|other| other.target != piece.target);
                let blob = &around.blobs[blob as usize];
                let written = blob.write(piece.offset, bytes, sync).await;
                written.map_err(|error| blob_failure(around, &error))?;
            }
        }
    }
    Ok(())
}

/// Makes durable what was carried out: a guest's own flush may have come in between, and then knew of
/// nothing more to do. `flushes`: those of the layer below before the guest's began.
pub(crate) async fn flush(around: &Surroundings, flushes: u64) -> Result<(), Failure> {
    for blob in around.blobs.iter().filter(|blob| blob.is_unsynced()) {
        let synced = blob.flush().await;
        synced.map_err(|error| blob_failure(around, &error))?;
    }
    match &around.next {
        Some(next) if next.is_unflushed_since(flushes) => next.flush().await,
        _ => Ok(()),
    }
}

fn next(around: &Surroundings) -> Result<&Arc<Next>, Failure> {
    let lost = || Failure::host(Errno::Eio, "the layer below was lost");
    around.next.as_ref().ok_or_else(lost)
}

/// The host could not do what a plan said.
pub(crate) fn blob_failure(around: &Surroundings, error: &BlobError) -> Failure {
    tell!(error, &around.names, "{error}");
    match error {
        error if error.is_full() => Failure::host(Errno::Enospc, "the host's disk is full"),
        BlobError::Range { .. } => {
            Failure::plugin(Cause::Range, "the plugin pointed outside a blob")
        }
        _ => Failure::host(Errno::Eio, "the host could not read or write the blob"),
    }
}
