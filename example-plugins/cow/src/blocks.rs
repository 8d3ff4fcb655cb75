//! The place of each block: a map with one byte for each block.

use std::ops::Range;

use nbdbox_plugin::{Error, Result};

/// Bytes of the map that go to the overlay in one write.
pub(crate) const PAGE: usize = 4096;

/// The place of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum State {
    /// In the layer below.
    Below = 0,
    /// In the overlay.
    Overlay = 1,
    /// Not stored: it reads as zeroes.
    Zero = 2,
}

/// Consecutive blocks in one place, or a part of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) offset: u64,
    pub(crate) length: u64,
    pub(crate) state: State,
}

/// The part of a range that lies in one block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece {
    pub(crate) block: u64,
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

/// The map of all blocks.
pub(crate) struct Blocks {
    size: u64,
    block: u64,
    states: Vec<u8>,
    /// Pages of the map with changes that the overlay doesn't have yet.
    dirty: Vec<bool>,
}

impl Blocks {
    /// A new map: all blocks of the disk are in the layer below.
    pub(crate) fn new(size: u64, block: u64) -> Result<Self> {
        let count = usize::try_from(size.div_ceil(block)).ok();
        let mut states = Vec::new();
        let room = count.filter(|count| states.try_reserve_exact(*count).is_ok());
        let count = room.ok_or_else(|| {
            Error::invalid(
                "the disk has too many blocks for the memory: set a larger block= or a larger --limit memory=",
            )
        })?;
        states.resize(count, State::Below as u8);
        Ok(Self {
            size,
            block,
            dirty: vec![false; count.div_ceil(PAGE)],
            states,
        })
    }

    /// Bytes of a block; the last block may be shorter.
    pub(crate) fn block(&self) -> u64 {
        self.block
    }

    /// Size of the disk, in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Fills the map from the overlay.
    pub(crate) fn load(&mut self, at: usize, bytes: &[u8]) -> Result<()> {
        if bytes.iter().any(|byte| *byte > State::Zero as u8) {
            return Err(Error::io("the overlay's map is damaged"));
        }
        self.states[at..at + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    /// Size of the map, in bytes.
    pub(crate) fn len(&self) -> usize {
        self.states.len()
    }

    /// The pages with changes that the overlay doesn't have yet.
    pub(crate) fn dirty(&self) -> Vec<Range<usize>> {
        let pages = self.dirty.iter().enumerate().filter(|(_, dirty)| **dirty);
        pages
            .map(|(page, _)| page * PAGE..((page + 1) * PAGE).min(self.states.len()))
            .collect()
    }

    /// A part of the map.
    pub(crate) fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.states[range]
    }

    /// Notes that the overlay has a page.
    pub(crate) fn clean(&mut self, range: &Range<usize>) {
        self.dirty[range.start / PAGE] = false;
    }

    pub(crate) fn set(&mut self, block: u64, state: State) {
        self.states[block as usize] = state as u8;
        self.dirty[block as usize / PAGE] = true;
    }

    /// Sets the place of all blocks that a range touches.
    pub(crate) fn set_all(&mut self, offset: u64, length: u64, state: State) {
        let first = (offset / self.block) as usize;
        let end = (offset + length).div_ceil(self.block) as usize;
        self.states[first..end].fill(state as u8);
        self.dirty[first / PAGE..end.div_ceil(PAGE)].fill(true);
    }

    fn state(&self, block: u64) -> State {
        match self.states[block as usize] {
            0 => State::Below,
            1 => State::Overlay,
            _ => State::Zero,
        }
    }

    /// Cuts a range where the place changes. It uses the map of this moment; the caller may change the map meanwhile.
    pub(crate) fn runs(&self, offset: u64, length: u64) -> Vec<Run> {
        let (mut at, end) = (offset, offset + length);
        let mut runs = Vec::new();
        while at < end {
            let first = at / self.block;
            let state = self.state(first);
            let last = end.div_ceil(self.block);
            let same = &self.states[first as usize..last as usize];
            let count = same.iter().position(|other| *other != state as u8);
            let count = count.unwrap_or(same.len()) as u64;
            let stop = ((first + count) * self.block).min(end);
            runs.push(Run {
                offset: at,
                length: stop - at,
                state,
            });
            at = stop;
        }
        runs
    }

    /// Cuts a range at the borders of blocks.
    pub(crate) fn pieces(&self, offset: u64, length: u64) -> impl Iterator<Item = Piece> + use<> {
        let (mut at, end, block) = (offset, offset + length, self.block);
        std::iter::from_fn(move || {
            let stop = (at - at % block + block).min(end);
            let piece = (at < end).then_some(Piece {
                block: at / block,
                offset: at,
                length: stop.saturating_sub(at),
            });
            at = stop;
            piece
        })
    }

    /// A block's place on the disk.
    pub(crate) fn range_of(&self, block: u64) -> Piece {
        let offset = block * self.block;
        Piece {
            block,
            offset,
            length: self.block.min(self.size - offset),
        }
    }

    /// The complete blocks in a range: start and end in bytes. The last block of the disk is complete at the end of the
    /// disk.
    pub(crate) fn whole(&self, offset: u64, length: u64) -> (u64, u64) {
        let end = offset + length;
        let last = if end == self.size {
            end
        } else {
            end - end % self.block
        };
        (offset.next_multiple_of(self.block), last)
    }
}
