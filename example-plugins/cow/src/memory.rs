//! An overlay in the instance's memory, allocated block by block.

use std::collections::BTreeMap;

use nbdbox_plugin::{Errno, Error, ReadReply, Result, WritePayload};

/// Bytes of memory that the overlay leaves to the filter's own needs.
const SPARE: usize = 64 * 1024;

pub(crate) struct Memory {
    block: u64,
    /// Blocks by offset.
    blocks: BTreeMap<u64, Vec<u8>>,
}

impl Memory {
    pub(crate) fn new(block: u64) -> Self {
        Self {
            block,
            blocks: BTreeMap::new(),
        }
    }

    pub(crate) fn read(&self, reply: &ReadReply, offset: u64, length: u64) {
        self.each(offset, length, |block, from, to| {
            if let Some(bytes) = self.blocks.get(&block) {
                reply.data(&bytes[from..to]);
            }
        });
    }

    pub(crate) fn store(
        &mut self,
        payload: &WritePayload,
        offset: u64,
        mut start: u32,
        length: u32,
    ) {
        let blocks = &mut self.blocks;
        each(self.block, offset, length.into(), |block, from, to| {
            let count = (to - from) as u32;
            if let Some(bytes) = blocks.get_mut(&block) {
                bytes[from..to].copy_from_slice(&payload.read(start, count));
            }
            start += count;
        });
    }

    /// Allocates one more block, if that leaves enough memory for the rest of the call.
    pub(crate) fn put(&mut self, offset: u64, bytes: Vec<u8>) -> Result<()> {
        let spare = self.block as usize + SPARE;
        if Vec::<u8>::new().try_reserve_exact(spare).is_err() {
            return Err(full());
        }
        self.blocks.insert(offset, bytes);
        Ok(())
    }

    pub(crate) fn zero(&mut self, offset: u64, length: u64) -> Result<()> {
        let blocks = &mut self.blocks;
        each(self.block, offset, length, |block, from, to| {
            if let Some(bytes) = blocks.get_mut(&block) {
                bytes[from..to].fill(0);
            }
        });
        Ok(())
    }

    pub(crate) fn drop(&mut self, offset: u64, length: u64) -> Result<()> {
        let blocks = &mut self.blocks;
        each(self.block, offset, length, |block, _, _| {
            blocks.remove(&block);
        });
        Ok(())
    }

    fn each(&self, offset: u64, length: u64, work: impl FnMut(u64, usize, usize)) {
        each(self.block, offset, length, work);
    }
}

/// The blocks that a range touches, by offset, and the part of each that lies in the range.
fn each(block: u64, offset: u64, length: u64, mut work: impl FnMut(u64, usize, usize)) {
    let (mut at, end) = (offset, offset + length);
    while at < end {
        let start = at - at % block;
        let stop = (start + block).min(end);
        work(start, (at - start) as usize, (stop - start) as usize);
        at = stop;
    }
}

/// The error when there is no memory for one more block.
pub(crate) fn full() -> Error {
    Error::new(
        Errno::Enospc,
        "the filter's memory limit is reached: raise --limit memory=",
    )
}
