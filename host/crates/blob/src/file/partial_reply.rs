//! A reply that lacks bytes.

use device::reply::ReadReply;

/// A reply, and how far its reads are done, in their order.
#[derive(Debug)]
pub(crate) struct PartialReply {
    reply: Box<ReadReply>,
    /// Its reads before this one are done.
    next: usize,
    /// Bytes of this one that are there.
    got: usize,
}

/// Bytes that a reply lacks.
pub(crate) struct Gap<'a> {
    /// Of which blob, by its index among those granted.
    pub(crate) blob: u32,
    /// From where in it.
    pub(crate) offset: u64,
    /// Where they go.
    pub(crate) bytes: &'a mut [u8],
}

impl PartialReply {
    /// None of its reads is done.
    pub(crate) fn new(reply: Box<ReadReply>) -> Self {
        Self {
            reply,
            next: 0,
            got: 0,
        }
    }

    /// What is missing next; `None` if it's whole.
    pub(crate) fn gap(&mut self) -> Option<Gap<'_>> {
        let read = *self.reply.reads().get(self.next)?;
        Some(Gap {
            blob: read.blob,
            offset: read.offset + self.got as u64,
            bytes: &mut self.reply.place(&read)[self.got..],
        })
    }

    /// So many bytes of the gap were filled.
    pub(crate) fn advance(&mut self, count: usize) {
        self.got += count;
        let read = self.reply.reads().get(self.next);
        if read.is_some_and(|read| self.got >= read.length as usize) {
            self.next += 1;
            self.got = 0;
        }
    }

    /// The reply, whole.
    pub(crate) fn into_reply(self) -> Box<ReadReply> {
        self.reply
    }
}
