//! The bytes that a client has received and not used yet.

/// A receive buffer that never moves more bytes than are left over, and never zeroes what a read overwrites.
///
/// It grows only if it's full of unused bytes. The protocol bounds that: see `nbd_proto::client::decode`.
#[derive(Debug)]
pub(crate) struct Inbox {
    buffer: Vec<u8>,
    /// The range of the unused bytes.
    start: usize,
    end: usize,
}

impl Inbox {
    /// An empty buffer of `room` bytes, which must not be 0. One read of the stream takes at most its free part.
    pub(crate) fn new(room: usize) -> Self {
        Self {
            buffer: vec![0; room],
            start: 0,
            end: 0,
        }
    }

    /// The unused bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Marks `count` bytes as used; there must be that many.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start += count;
        debug_assert!(self.start <= self.end, "only received bytes can be used");
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// The free part, which is never empty. The caller reads into its front, then calls [`note`](Self::note).
    pub(crate) fn free(&mut self) -> &mut [u8] {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.buffer.len() {
            self.buffer.resize(2 * self.buffer.len(), 0);
        }
        &mut self.buffer[self.end..]
    }

    /// Notes that the first `count` bytes of the free part have been received.
    pub(crate) fn note(&mut self, count: usize) {
        self.end += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive(inbox: &mut Inbox, bytes: &[u8]) {
        inbox.free()[..bytes.len()].copy_from_slice(bytes);
        inbox.note(bytes.len());
    }

    #[test]
    fn unused_bytes_stay_in_order_whatever_is_used_between() {
        let mut inbox = Inbox::new(4);
        receive(&mut inbox, b"abc");
        inbox.consume(2);
        receive(&mut inbox, b"def");
        assert_eq!(inbox.bytes(), b"cdef");
        assert!(!inbox.free().is_empty(), "a full buffer grows");
        receive(&mut inbox, b"gh");
        assert_eq!(inbox.bytes(), b"cdefgh");
        inbox.consume(6);
        assert_eq!(inbox.bytes(), b"");
        assert_eq!(inbox.free().len(), 8);
    }
}
