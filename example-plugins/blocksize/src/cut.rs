//! Cuts a range into the end of a block, whole blocks, and the start of a block.

/// The cuts of a range. Each part may be empty.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    start: u64,
    /// The start of the first whole block, or the end of the range.
    first: u64,
    /// The end of the last whole block.
    last: u64,
    end: u64,
}

impl Cut {
    pub(crate) fn new(offset: u64, length: u64, block: u64) -> Self {
        let end = offset + length;
        let first = offset.next_multiple_of(block).min(end);
        let last = (end - end % block).max(first);
        Self {
            start: offset,
            first,
            last,
            end,
        }
    }

    /// The part before the whole blocks, which lies in one block: offset and length.
    pub(crate) fn head(&self) -> (u64, u64) {
        (self.start, self.first - self.start)
    }

    /// The whole blocks.
    pub(crate) fn middle(&self) -> (u64, u64) {
        (self.first, self.last - self.first)
    }

    /// The part after the whole blocks, which lies in one block.
    pub(crate) fn tail(&self) -> (u64, u64) {
        (self.last, self.end - self.last)
    }

    /// The whole blocks, in pieces of at most `most` bytes.
    pub(crate) fn whole(&self, most: u64) -> impl Iterator<Item = (u64, u64)> + use<> {
        let (first, last) = (self.first, self.last);
        (first..last)
            .step_by(most as usize)
            .map(move |at| (at, most.min(last - at)))
    }
}
