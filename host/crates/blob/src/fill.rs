//! Replies by reference: from the page cache at once, else when the disk has answered.
//!
//! The look at the page cache (`preadv2` with `RWF_NOWAIT`) has started the disk already: in Linux's
//! mm/filemap.c, `filemap_get_pages` reads ahead what it misses before it answers EAGAIN. What is left is
//! to wait, and a few threads for each file do that for all replies in turn. What has come meanwhile is
//! taken along, and those who wait are woken once for all of it; a thread for each read would cost a
//! wake-up there and another one back.

use std::io;

use device::reply::ReadReply;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use crate::cold_reads::{ColdRead, Outcome, PartialReply};
use crate::error::BlobError;
use crate::file::{Blob, on_a_thread};

/// Replies that are told of together, at most.
const TOLD: usize = 64;

impl Blob {
    /// Does all blob reads of a reply; they are of `blobs`, by index.
    ///
    /// # Errors
    /// As [`read`](Self::read). The ranges were checked when the plan was made.
    pub async fn fill_from_blobs(blobs: &[Self], reply: Box<ReadReply>) -> Outcome {
        let mut partial = PartialReply::new(reply);
        if partial.take_cached(blobs) {
            return Ok(partial.reply);
        }
        let read = partial.reply.reads()[partial.next];
        let blob = &blobs[read.blob as usize];
        if blob.looks_start_reads() {
            return blob.wait_for_disk(blobs, partial).await;
        }
        let blobs = blobs.to_vec();
        on_a_thread(move || {
            partial.wait(&blobs)?;
            Ok(partial.reply)
        })
        .await
    }

    /// Waits for the rest of a reply, whose next bytes come from this file.
    async fn wait_for_disk(&self, blobs: &[Self], partial: PartialReply) -> Outcome {
        let (waiter, answer) = oneshot::channel();
        if self.cold_reads().push(ColdRead {
            reply: partial,
            waiter,
        }) {
            let (blob, blobs) = (self.clone(), blobs.to_vec());
            spawn_blocking(move || blob.go_through_cold_reads(&blobs));
        }
        answer.await.unwrap_or_else(|_| {
            let error = io::Error::other("the thread that waited for it is gone");
            Err(self.io_error(error))
        })
    }

    /// On a thread: goes through all replies that wait for this file.
    fn go_through_cold_reads(&self, blobs: &[Self]) {
        let mut done = Vec::new();
        while let Some(ColdRead {
            reply: mut partial,
            waiter,
        }) = self.cold_reads().pop()
        {
            let mut waited = Ok(());
            if !partial.take_cached(blobs) {
                tell(&mut done);
                waited = partial.wait(blobs);
            }
            done.push((waiter, waited.map(|()| partial.reply)));
            if done.len() >= TOLD {
                tell(&mut done);
            }
        }
        tell(&mut done);
    }
}

fn tell(done: &mut Vec<(oneshot::Sender<Outcome>, Outcome)>) {
    for (waiter, done) in done.drain(..) {
        // The one who waits may be gone.
        let _ = waiter.send(done);
    }
}

impl PartialReply {
    fn new(reply: Box<ReadReply>) -> Self {
        Self {
            reply,
            next: 0,
            got: 0,
        }
    }

    /// Takes what the page cache has; whether that was all.
    fn take_cached(&mut self, blobs: &[Blob]) -> bool {
        while let Some(&read) = self.reply.reads().get(self.next) {
            let place = &mut self.reply.place(&read)[self.got..];
            let from = read.offset + self.got as u64;
            let got = blobs[read.blob as usize].read_cached(from, place);
            if got < place.len() {
                self.got += got;
                return false;
            }
            self.next += 1;
            self.got = 0;
        }
        true
    }

    /// Reads all that is left, waiting for it.
    fn wait(&mut self, blobs: &[Blob]) -> Result<(), BlobError> {
        while let Some(&read) = self.reply.reads().get(self.next) {
            let place = &mut self.reply.place(&read)[self.got..];
            let from = read.offset + self.got as u64;
            blobs[read.blob as usize].read_waiting(from, place)?;
            self.next += 1;
            self.got = 0;
        }
        Ok(())
    }
}
