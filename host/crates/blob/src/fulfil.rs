//! Replies by reference: from the page cache at once, else when the disk has answered.
//!
//! The look at the page cache (`preadv2` with `RWF_NOWAIT`) has started the disk already: in Linux's
//! mm/filemap.c, `filemap_get_pages` reads ahead what it misses before it answers EAGAIN. What is left is
//! to wait, and a few threads for each file do that for all replies in turn. What has come meanwhile is
//! taken along, and those who asked are woken once for all of it; a thread for each read would cost a
//! wake-up there and another one back.

use std::io;

use device::reply::ReadReply;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use crate::error::BlobError;
use crate::file::{Blob, on_a_thread};
use crate::missing::{Awaited, Fulfilled, Unfinished};

/// Replies that are told of together, at most.
const TOLD: usize = 64;

impl Blob {
    /// Does all blob reads of a reply; they are of `blobs`, by index.
    ///
    /// # Errors
    /// As [`read`](Self::read). The ranges were checked when the plan was made.
    pub async fn fulfil(
        blobs: &[Self],
        reply: Box<ReadReply>,
    ) -> Result<Box<ReadReply>, BlobError> {
        let mut unfinished = Unfinished::new(reply);
        if unfinished.take_cached(blobs) {
            return Ok(unfinished.reply);
        }
        let read = unfinished.reply.reads()[unfinished.next];
        let blob = &blobs[read.blob as usize];
        if blob.looks_start_reads() {
            return blob.await_missing(blobs, unfinished).await;
        }
        let blobs = blobs.to_vec();
        on_a_thread(move || {
            unfinished.wait(&blobs)?;
            Ok(unfinished.reply)
        })
        .await
    }

    /// Waits for the rest of a reply, whose next bytes come from this file.
    async fn await_missing(&self, blobs: &[Self], unfinished: Unfinished) -> Fulfilled {
        let (asker, answer) = oneshot::channel();
        if self.missing().push(Awaited { unfinished, asker }) {
            let (blob, blobs) = (self.clone(), blobs.to_vec());
            spawn_blocking(move || blob.wait_for_all(&blobs));
        }
        answer.await.unwrap_or_else(|_| {
            let error = io::Error::other("the thread that waited for it is gone");
            Err(self.io_error(error))
        })
    }

    /// On a thread: goes through all that is awaited of this file.
    fn wait_for_all(&self, blobs: &[Self]) {
        let mut done = Vec::new();
        while let Some(Awaited {
            mut unfinished,
            asker,
        }) = self.missing().pop()
        {
            let mut waited = Ok(());
            if !unfinished.take_cached(blobs) {
                tell(&mut done);
                waited = unfinished.wait(blobs);
            }
            done.push((asker, waited.map(|()| unfinished.reply)));
            if done.len() >= TOLD {
                tell(&mut done);
            }
        }
        tell(&mut done);
    }
}

fn tell(done: &mut Vec<(oneshot::Sender<Fulfilled>, Fulfilled)>) {
    for (asker, done) in done.drain(..) {
        // Who asked may be gone.
        let _ = asker.send(done);
    }
}

impl Unfinished {
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
