//! A reply by reference that still lacks bytes.

use device::reply::ReadReply;

/// A reply, and how many of its reads are done, in their order.
#[derive(Debug)]
pub(crate) struct PartialReply {
    reply: Box<ReadReply>,
    /// The first read that isn't complete.
    next: usize,
    /// How many bytes of that read are there.
    got: usize,
}

/// The next bytes that a reply lacks.
pub(crate) struct Gap<'a> {
    /// Their blob, by its index among those granted.
    pub(crate) blob: u32,
    /// Their offset in the blob.
    pub(crate) offset: u64,
    /// Their place in the reply.
    pub(crate) bytes: &'a mut [u8],
}

impl PartialReply {
    /// A reply none of whose reads is done.
    pub(crate) fn new(reply: Box<ReadReply>) -> Self {
        Self {
            reply,
            next: 0,
            got: 0,
        }
    }

    /// The next missing bytes; `None` if the reply is complete.
    pub(crate) fn gap(&mut self) -> Option<Gap<'_>> {
        let read = *self.reply.reads().get(self.next)?;
        Some(Gap {
            blob: read.blob,
            offset: read.offset + self.got as u64,
            bytes: &mut self.reply.place(&read)[self.got..],
        })
    }

    /// Notes that `count` bytes of the gap were filled.
    pub(crate) fn advance(&mut self, count: usize) {
        self.got += count;
        let read = self.reply.reads().get(self.next);
        if read.is_some_and(|read| self.got >= read.length as usize) {
            self.next += 1;
            self.got = 0;
        }
    }

    /// The reply, which the caller has completed.
    pub(crate) fn into_reply(self) -> Box<ReadReply> {
        self.reply
    }
}
