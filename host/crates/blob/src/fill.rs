//! Replies by reference: bytes that are at hand are copied at once, the others when the source has read them.

use std::io::{self, ErrorKind};

use device::reply::ReadReply;
use tokio::task::yield_now;

use crate::blob::{Behind, Blob};
use crate::error::BlobError;
use crate::file::PartialReply;

/// How many bytes are copied before other tasks get a turn: a third of a millisecond.
const PIECE: usize = 1 << 20;

/// Does all blob reads of a reply, from `blobs` by index. Dropping the future is safe, and loses the reply.
///
/// # Errors
/// As [`Blob::read`]. The ranges were checked when the reads were planned.
pub async fn fill_from_blobs(
    blobs: &[Blob],
    reply: Box<ReadReply>,
) -> Result<Box<ReadReply>, BlobError> {
    let mut partial = PartialReply::new(reply);
    while let Some(index) = take_cached(&mut partial, blobs).await {
        let blob = &blobs[index as usize];
        match blob.behind() {
            Behind::File(file) => partial = file.fill(index, partial).await?,
            Behind::Other(_) => fill_gap(&mut partial, blob).await?,
        }
    }
    Ok(partial.into_reply())
}

/// Copies the bytes that are at hand, and returns the blob of the first missing ones; `None` if the reply is complete.
/// Other tasks get a turn after every [`PIECE`] bytes.
async fn take_cached(partial: &mut PartialReply, blobs: &[Blob]) -> Option<u32> {
    let mut left = PIECE;
    while let Some(gap) = partial.gap() {
        if left == 0 {
            yield_now().await;
            left = PIECE;
            continue;
        }
        let wanted = gap.bytes.len().min(left);
        let blob = gap.blob;
        let got = blobs[blob as usize].read_cached(gap.offset, &mut gap.bytes[..wanted]);
        partial.advance(got);
        left -= got;
        if got < wanted {
            return Some(blob);
        }
    }
    None
}

/// Waits for the next missing bytes, which are this blob's.
async fn fill_gap(partial: &mut PartialReply, blob: &Blob) -> Result<(), BlobError> {
    let Some(gap) = partial.gap() else {
        return Ok(());
    };
    let bytes = blob.read(gap.offset, gap.bytes.len()).await?;
    let wanted = gap.bytes.len();
    if bytes.len() != wanted {
        return Err(BlobError::Io {
            path: blob.name().to_owned(),
            error: io::Error::new(
                ErrorKind::UnexpectedEof,
                "the source read fewer bytes than requested",
            ),
        });
    }
    gap.bytes.copy_from_slice(&bytes);
    partial.advance(wanted);
    Ok(())
}
