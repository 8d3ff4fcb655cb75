//! The reply to a read while the device fills it: bounded, in order, exact.

mod buffer;

use nbdbox_config::limits::PIECES;
use thiserror::Error;

use self::buffer::ReplyBuffer;

/// A piece of a reply. Pieces follow each other without gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// This many bytes, the next ones of the buffer.
    Data(u32),
    /// This many zeroes, which the buffer doesn't contain.
    Zeroes(u32),
}

/// Bytes that the host still has to read from a blob. Their place in the buffer is reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobRead {
    /// The blob's index among those granted.
    pub blob: u32,
    /// Their offset in the blob, in bytes.
    pub offset: u64,
    /// Their place in the buffer.
    pub at: usize,
    /// Their number.
    pub length: u32,
}

/// Bytes that the host still has to read from the layer below. Their place in the buffer is reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BelowRead {
    /// Their offset in the layer below, in bytes.
    pub offset: u64,
    /// Their place in the buffer.
    pub at: usize,
    /// Their number.
    pub length: u32,
}

/// How a plugin filled a reply wrongly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FillError {
    /// Fewer bytes than the request's.
    #[error("the plugin filled {filled} of {wanted} requested bytes")]
    Short {
        /// Bytes filled.
        filled: u64,
        /// Bytes of the request.
        wanted: u32,
    },
    /// More bytes than the request's.
    #[error("the plugin filled more than the {wanted} requested bytes")]
    Long {
        /// Bytes of the request.
        wanted: u32,
    },
    /// More than [`PIECES`] pieces.
    #[error("the plugin filled the reply in more than {PIECES} pieces")]
    Pieces,
}

/// The reply to one read.
///
/// Takes no more memory than the request's length, whatever is added. An addition that doesn't fit spoils the reply,
/// and the methods that add ignore the rest: [`finish`](Self::finish) returns the error.
#[derive(Debug, Default)]
pub struct ReadReply {
    wanted: u32,
    filled: u32,
    /// Its first `used` bytes belong to this reply.
    memory: ReplyBuffer,
    used: usize,
    pieces: Vec<Piece>,
    reads: Vec<BlobRead>,
    below: Vec<BelowRead>,
    spoilt: Option<FillError>,
}

impl ReadReply {
    /// Empties it for a read of `wanted` bytes, and keeps the memory.
    pub fn reset(&mut self, wanted: u32) {
        self.wanted = wanted;
        self.filled = 0;
        self.used = 0;
        self.pieces.clear();
        self.reads.clear();
        self.below.clear();
        self.spoilt = None;
        self.check();
    }

    /// The memory that it holds, in bytes.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.memory.capacity()
    }

    /// Adds the bytes of `source`.
    pub fn data(&mut self, source: &[u8]) {
        if let Some((at, length)) = self.reserve(source.len() as u64) {
            self.memory.bytes_mut()[at..at + length as usize].copy_from_slice(source);
        }
    }

    /// Adds `length` zeroes, which take no memory.
    pub fn zeroes(&mut self, length: u64) {
        let Some(length) = self.claim(length) else {
            return;
        };
        match self.pieces.last_mut() {
            Some(Piece::Zeroes(last)) => *last += length,
            _ => self.pieces.push(Piece::Zeroes(length)),
        }
        self.check();
    }

    /// Adds the `length` bytes at `offset` of a blob, which the host reads later. The caller has checked the range.
    pub fn blob(&mut self, blob: u32, offset: u64, length: u64) {
        if let Some((at, length)) = self.reserve(length) {
            self.reads.push(BlobRead {
                blob,
                offset,
                at,
                length,
            });
            self.check();
        }
    }

    /// Adds the `length` bytes at `offset` of the layer below, which the host reads later. The caller has checked the
    /// range.
    pub fn below(&mut self, offset: u64, length: u64) {
        if let Some((at, length)) = self.reserve(length) {
            self.below.push(BelowRead { offset, at, length });
            self.check();
        }
    }

    /// Adds the bytes and zeroes of another reply, which is finished.
    pub fn append(&mut self, other: &Self) {
        let mut from = 0;
        for piece in &other.pieces {
            match *piece {
                Piece::Data(length) => {
                    self.data(&other.bytes()[from..from + length as usize]);
                    from += length as usize;
                }
                Piece::Zeroes(length) => self.zeroes(length.into()),
            }
        }
    }

    /// Checks that the pieces have exactly the request's length.
    ///
    /// # Errors
    /// The first mistake.
    pub fn finish(&self) -> Result<(), FillError> {
        match self.spoilt {
            Some(error) => Err(error),
            None if self.filled == self.wanted => Ok(()),
            None => Err(FillError::Short {
                filled: self.filled.into(),
                wanted: self.wanted,
            }),
        }
    }

    /// The bytes that the host still has to read from blobs.
    #[must_use]
    pub fn reads(&self) -> &[BlobRead] {
        &self.reads
    }

    /// The bytes that the host still has to read from the layer below.
    #[must_use]
    pub fn reads_below(&self) -> &[BelowRead] {
        &self.below
    }

    /// The offset in the layer below, if the whole reply comes from there in one piece; else `None`.
    #[must_use]
    pub fn wholly_below(&self) -> Option<u64> {
        match self.below[..] {
            [read] if read.length == self.wanted => Some(read.offset),
            _ => None,
        }
    }

    /// Marks all planned reads as done: the reply now consists of bytes and zeroes.
    pub fn carried_out(&mut self) {
        self.reads.clear();
        self.below.clear();
        self.check();
    }

    /// Copies the layer's answer to the reserved place of `read`, which is one of [`reads_below`](Self::reads_below).
    pub fn put(&mut self, read: &BelowRead, answer: &Self) {
        debug_assert_eq!(
            answer.filled, read.length,
            "the layer below returns finished replies"
        );
        let (mut from, mut to) = (0, read.at);
        let bytes = self.memory.bytes_mut();
        for piece in &answer.pieces {
            match *piece {
                Piece::Data(length) => {
                    let length = length as usize;
                    bytes[to..to + length].copy_from_slice(&answer.bytes()[from..from + length]);
                    from += length;
                    to += length;
                }
                Piece::Zeroes(length) => {
                    bytes[to..to + length as usize].fill(0);
                    to += length as usize;
                }
            }
        }
    }

    /// The reserved place of `read`, which is one of [`reads`](Self::reads).
    pub fn place(&mut self, read: &BlobRead) -> &mut [u8] {
        &mut self.memory.bytes_mut()[read.at..read.at + read.length as usize]
    }

    /// The pieces, in order.
    #[must_use]
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// The bytes of all data pieces, one piece after the other.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.memory.bytes()[..self.used]
    }

    /// The bytes of all data pieces, without the reply's spare memory.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.memory.into_vec(self.used)
    }

    /// Bytes that are still missing.
    #[must_use]
    pub fn missing(&self) -> u32 {
        self.wanted - self.filled
    }

    /// Makes one data piece of all pieces, for replies that can't express zeroes.
    pub fn flatten(&mut self) {
        if let [] | [Piece::Data(_)] = self.pieces[..] {
            return;
        }
        // From the end to the start, so that bytes only move towards the end.
        let total = self.filled as usize;
        self.memory.make_room(total, self.used, total);
        let bytes = self.memory.bytes_mut();
        let (mut from, mut to) = (self.used, total);
        for piece in self.pieces.drain(..).rev() {
            match piece {
                Piece::Data(length) => {
                    from -= length as usize;
                    to -= length as usize;
                    bytes.copy_within(from..from + length as usize, to);
                }
                Piece::Zeroes(length) => {
                    to -= length as usize;
                    bytes[to..to + length as usize].fill(0);
                }
            }
        }
        self.used = total;
        self.pieces.push(Piece::Data(self.filled));
        self.check();
    }

    /// Reserves `length` bytes of the buffer as a data piece: their place and their number. `None` if the reply is
    /// spoilt.
    fn reserve(&mut self, length: u64) -> Option<(usize, u32)> {
        let length = self.claim(length)?;
        let at = self.used;
        self.used += length as usize;
        self.memory.make_room(self.used, at, self.wanted as usize);
        match self.pieces.last_mut() {
            Some(Piece::Data(last)) => *last += length,
            _ => self.pieces.push(Piece::Data(length)),
        }
        self.check();
        Some((at, length))
    }

    /// Counts `length` bytes as filled. `None` if there are none or the reply is spoilt, which this does if they don't
    /// fit.
    fn claim(&mut self, length: u64) -> Option<u32> {
        if length == 0 || self.spoilt.is_some() {
            return None;
        }
        let left = self.wanted - self.filled;
        match u32::try_from(length) {
            Ok(length) if length <= left => {
                if [self.pieces.len(), self.reads.len(), self.below.len()]
                    .iter()
                    .any(|&count| count >= PIECES)
                {
                    self.spoilt = Some(FillError::Pieces);
                    return None;
                }
                self.filled += length;
                Some(length)
            }
            _ => {
                self.spoilt = Some(FillError::Long {
                    wanted: self.wanted,
                });
                None
            }
        }
    }

    /// Checks the invariants at the end of each transition, in debug builds. A plugin may add thousands of pieces one by
    /// one, so this goes through all of them only while they are few, and each time that their number has doubled.
    fn check(&self) {
        if !cfg!(debug_assertions) {
            return;
        }
        assert!(self.filled <= self.wanted, "longer than the request");
        assert!(self.used <= self.memory.bytes().len(), "no memory for it");
        let counts = [self.pieces.len(), self.reads.len(), self.below.len()];
        let most = counts.into_iter().max().unwrap_or(0);
        assert!(most <= PIECES, "{most} pieces");
        if most <= 16 || most.is_power_of_two() {
            self.check_pieces();
        }
    }

    fn check_pieces(&self) {
        let (mut data, mut zeroes) = (0, 0);
        for piece in &self.pieces {
            match *piece {
                Piece::Data(length) => data += length as usize,
                Piece::Zeroes(length) => zeroes += length as usize,
            }
        }
        assert_eq!(data, self.used, "data pieces have the bytes that are used");
        assert_eq!(data + zeroes, self.filled as usize, "pieces have all bytes");
        let is_data = |piece: &Piece| matches!(piece, Piece::Data(_));
        let alternate = |one: &Piece, two: &Piece| is_data(one) != is_data(two);
        assert!(
            self.pieces.is_sorted_by(alternate),
            "two of a kind in a row"
        );
        let reads = self.reads.iter().map(|read| (read.at, read.length));
        let below = self.below.iter().map(|read| (read.at, read.length));
        assert!(are_apart(reads, self.used) && are_apart(below, self.used));
    }
}

/// Whether places of the buffer ascend, don't overlap, and lie in its first `used` bytes.
fn are_apart(mut places: impl Iterator<Item = (usize, u32)>, used: usize) -> bool {
    let mut end = 0;
    places.all(|(at, length)| {
        let start = std::mem::replace(&mut end, at + length as usize);
        at >= start && end <= used
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(wanted: u32) -> ReadReply {
        let mut reply = ReadReply::default();
        reply.reset(wanted);
        reply
    }

    #[test]
    fn exactly_filled_is_fine() {
        let mut reply = reply(6);
        reply.data(b"ab");
        reply.zeroes(3);
        reply.data(b"c");
        assert_eq!(reply.finish(), Ok(()));
        assert_eq!(
            reply.pieces(),
            [Piece::Data(2), Piece::Zeroes(3), Piece::Data(1)]
        );
        assert_eq!(reply.bytes(), b"abc");
        reply.flatten();
        assert_eq!(reply.pieces(), [Piece::Data(6)]);
        assert_eq!(reply.bytes(), b"ab\0\0\0c");
    }

    #[test]
    fn stale_bytes_never_show() {
        let mut reply = reply(4);
        reply.data(b"XXXX");
        reply.reset(4);
        reply.zeroes(1);
        reply.data(b"a");
        reply.zeroes(2);
        reply.flatten();
        assert_eq!(reply.bytes(), b"\0a\0\0");
    }

    #[test]
    fn too_little_and_too_much_are_errors_and_cost_no_memory() {
        let mut short = reply(4);
        short.data(b"abc");
        assert_eq!(
            short.finish(),
            Err(FillError::Short {
                filled: 3,
                wanted: 4
            })
        );

        for fill in [4, 5, u64::MAX] {
            let mut long = reply(4);
            long.data(b"a");
            long.zeroes(fill);
            long.data(&[0; 1000]);
            assert_eq!(long.finish(), Err(FillError::Long { wanted: 4 }));
            assert!(long.capacity() < 100);
        }
        let mut blob = reply(4);
        blob.blob(0, 0, u64::MAX);
        assert_eq!(blob.finish(), Err(FillError::Long { wanted: 4 }));
        assert_eq!(blob.capacity(), 0);
    }

    #[test]
    fn adjacent_pieces_of_a_kind_merge_and_pieces_are_bounded() {
        let mut reply = reply(u32::MAX);
        for _ in 0..PIECES {
            reply.zeroes(1);
            reply.zeroes(1);
            reply.data(b"a");
        }
        assert_eq!(reply.finish(), Err(FillError::Pieces));
        assert!(reply.pieces().len() <= PIECES);
    }

    #[test]
    fn blob_reads_get_their_place_in_order() {
        let mut reply = reply(7);
        reply.data(b"ab");
        reply.zeroes(1);
        reply.blob(3, 100, 4);
        let read = reply.reads()[0];
        assert_eq!(
            (read.blob, read.offset, read.at, read.length),
            (3, 100, 2, 4)
        );
        reply.place(&read).copy_from_slice(b"wxyz");
        reply.flatten();
        assert_eq!(reply.bytes(), b"ab\0wxyz");
    }

    #[test]
    fn what_the_layer_below_answers_goes_to_its_place() {
        let mut above = reply(9);
        above.data(b"ab");
        above.below(100, 4);
        above.zeroes(2);
        above.below(7, 1);
        assert_eq!(above.finish(), Ok(()));
        assert_eq!(above.wholly_below(), None);
        let mut answer = reply(4);
        answer.data(b"w");
        answer.zeroes(2);
        answer.data(b"z");
        let [first, second] = above.reads_below() else {
            panic!("two reads")
        };
        let (first, second) = (*first, *second);
        above.put(&first, &answer);
        answer.reset(1);
        answer.data(b"!");
        above.put(&second, &answer);
        above.flatten();
        assert_eq!(above.bytes(), b"abw\0\0z\0\0!");
    }

    #[test]
    fn a_reply_that_is_wholly_below_is_known_as_such() {
        let mut above = reply(5);
        above.below(100, 5);
        assert_eq!(above.wholly_below(), Some(100));
    }

    #[test]
    fn another_reply_keeps_its_zeroes() {
        let mut other = reply(4);
        other.data(b"ab");
        other.zeroes(2);
        let mut above = reply(5);
        above.data(b"x");
        above.append(&other);
        assert_eq!(above.finish(), Ok(()));
        assert_eq!(above.pieces(), [Piece::Data(3), Piece::Zeroes(2)]);
    }
}
