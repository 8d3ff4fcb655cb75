//! The memory of a reply's bytes, and where in it they begin.
//!
//! Processors copy with `rep movsb`: Linux does so for every byte between a socket or a file and a process, and the C
//! library for all copies of more than a few KiB. On AMD's Zen 4 this is 2 to 15 times slower if the destination's
//! offset in its page exceeds the source's offset in its own by 63 bytes or less. The page cache, one source, begins at
//! the start of a page. A guest's large allocation, another source, begins 8 or 16 bytes into a page, and so does the
//! large buffer that malloc returns, at 16 bytes. So a reply's bytes begin a quarter into a page. On other processors
//! this costs nothing.

/// The size of a page, in bytes.
const PAGE: usize = 4096;

/// Where in a page the bytes of a reply begin.
const START: usize = PAGE / 4;

/// Initialised memory, kept from reply to reply so that the host doesn't zero bytes only to overwrite them.
#[derive(Debug, Default)]
pub(super) struct ReplyBuffer {
    all: Vec<u8>,
    start: usize,
}

impl ReplyBuffer {
    /// The memory that it holds, in bytes.
    pub(super) fn capacity(&self) -> usize {
        self.all.capacity()
    }

    /// Makes room for at least `length` bytes. To grow rarely, it doubles, but beyond `length` it doesn't exceed
    /// `most`. The first `used` bytes keep their values.
    pub(super) fn make_room(&mut self, length: usize, used: usize, most: usize) {
        let room = self.all.len() - self.start;
        if room >= length {
            return;
        }
        let room = length.max(most.min(2 * room));
        // For less than a page, faster copies aren't worth the memory.
        let slack = if room < PAGE { 0 } else { PAGE };
        let mut grown = vec![0; room + slack];
        let start = if slack == 0 { 0 } else { start_in(&grown) };
        grown[start..start + used].copy_from_slice(&self.bytes()[..used]);
        self.all = grown;
        self.start = start;
    }

    /// All bytes, also those that no reply uses now.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.all[self.start..]
    }

    /// As [`bytes`](Self::bytes).
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.all[self.start..]
    }

    /// Returns the first `length` bytes, without a new allocation.
    pub(super) fn into_vec(mut self, length: usize) -> Vec<u8> {
        self.all.copy_within(self.start..self.start + length, 0);
        self.all.truncate(length);
        self.all
    }
}

/// The first index in `memory` that is at [`START`] of its page.
fn start_in(memory: &[u8]) -> usize {
    let place = memory.as_ptr().addr() % PAGE;
    (START + PAGE - place) % PAGE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_replies_begin_where_pages_do_not() {
        for length in [PAGE, PAGE + 1, 1 << 20] {
            let mut memory = ReplyBuffer::default();
            memory.make_room(length, 0, length);
            assert_eq!(memory.bytes().as_ptr().addr() % PAGE, START);
            assert!(memory.bytes().len() >= length);
            assert!(memory.capacity() <= length + PAGE);
        }
    }

    #[test]
    fn small_ones_take_what_they_need() {
        let mut memory = ReplyBuffer::default();
        memory.make_room(100, 0, 4000);
        assert_eq!(memory.capacity(), 100);
    }

    #[test]
    fn what_was_used_stays_as_it_grows() {
        let mut memory = ReplyBuffer::default();
        memory.make_room(3, 0, 1 << 20);
        memory.bytes_mut()[..3].copy_from_slice(b"abc");
        memory.make_room(PAGE, 3, 1 << 20);
        assert_eq!(memory.bytes()[..4], *b"abc\0");
        let room = memory.bytes().len();
        memory.make_room(room + 1, 3, 1 << 20);
        assert!(memory.bytes().len() >= 2 * room, "it doubles");
        assert_eq!(memory.into_vec(3), b"abc");
    }
}
