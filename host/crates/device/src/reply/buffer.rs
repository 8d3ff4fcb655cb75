//! Where the bytes of a reply are, and why there.
//!
//! Processors copy with `rep movsb`: Linux does for every byte between a socket or a file and a process, and the
//! C library for all that is larger than a few KiB. On AMD's Zen 4 it's 2 to 15 times slower where the
//! destination lies up to 63 bytes further into its page than the source lies in its own. Sources are the
//! page cache (at the start of a page) and what guests allocate (8 or 16 bytes after it, if it's large), and
//! what malloc returns for large buffers is 16 bytes into a page. So these bytes begin in the middle of
//! one. Elsewhere it costs nothing.

/// Bytes of a page.
const PAGE: usize = 4096;

/// Where in a page the bytes begin.
const START: usize = PAGE / 4;

/// Initialised memory, kept from reply to reply so that bytes aren't zeroed only to be overwritten.
#[derive(Debug, Default)]
pub(super) struct ReplyBuffer {
    all: Vec<u8>,
    start: usize,
}

impl ReplyBuffer {
    /// Bytes that it takes.
    pub(super) fn capacity(&self) -> usize {
        self.all.capacity()
    }

    /// Makes room for `length` bytes, and soon for more, but never for more than `most`. The first
    /// `used` bytes stay as they are.
    pub(super) fn make_room(&mut self, length: usize, used: usize, most: usize) {
        let room = self.all.len() - self.start;
        if room >= length {
            return;
        }
        let room = length.max(most.min(2 * room));
        // For less than a page it isn't worth the memory.
        let slack = if room < PAGE { 0 } else { PAGE };
        let mut grown = vec![0; room + slack];
        let start = if slack == 0 { 0 } else { start_in(&grown) };
        grown[start..start + used].copy_from_slice(&self.bytes()[..used]);
        self.all = grown;
        self.start = start;
    }

    /// The bytes, those that aren't used too.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.all[self.start..]
    }

    /// The same.
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.all[self.start..]
    }

    /// The first `length` bytes, taken out.
    pub(super) fn into_vec(mut self, length: usize) -> Vec<u8> {
        self.all.copy_within(self.start..self.start + length, 0);
        self.all.truncate(length);
        self.all
    }
}

/// The first place in memory that is at [`START`] of its page.
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
