//! The blocks in the cache, and the order of their last use.

use std::collections::BTreeMap;
use std::ops::Range;

/// One block.
pub(crate) struct Block {
    pub(crate) bytes: Vec<u8>,
    /// The block holds changes that the layer below doesn't have yet.
    pub(crate) dirty: bool,
    /// The time of its last use.
    used: u64,
}

/// Blocks by number.
#[derive(Default)]
pub(crate) struct Blocks {
    blocks: BTreeMap<u64, Block>,
    /// Blocks by the time of their last use.
    order: BTreeMap<u64, u64>,
    clock: u64,
    bytes: u64,
}

impl Blocks {
    /// Bytes in all blocks.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns a block, and marks it as used now.
    pub(crate) fn get(&mut self, number: u64) -> Option<&mut Block> {
        let block = self.blocks.get_mut(&number)?;
        self.clock += 1;
        self.order.remove(&block.used);
        block.used = self.clock;
        self.order.insert(self.clock, number);
        Some(block)
    }

    pub(crate) fn has(&self, number: u64) -> bool {
        self.blocks.contains_key(&number)
    }

    /// Adds a block that isn't in the cache.
    pub(crate) fn put(&mut self, number: u64, bytes: Vec<u8>, dirty: bool) {
        self.forget(number);
        self.clock += 1;
        self.bytes += bytes.len() as u64;
        self.order.insert(self.clock, number);
        let block = Block {
            bytes,
            dirty,
            used: self.clock,
        };
        self.blocks.insert(number, block);
    }

    pub(crate) fn forget(&mut self, number: u64) {
        if let Some(block) = self.blocks.remove(&number) {
            self.order.remove(&block.used);
            self.bytes -= block.bytes.len() as u64;
        }
    }

    pub(crate) fn forget_all(&mut self, numbers: Range<u64>) {
        while let Some((&number, _)) = self.blocks.range(numbers.clone()).next() {
            self.forget(number);
        }
    }

    /// The least recently used block.
    pub(crate) fn oldest(&self) -> Option<u64> {
        self.order.first_key_value().map(|(_, number)| *number)
    }

    /// The first block of a range with changes that the layer below doesn't have yet.
    pub(crate) fn first_dirty(&self, numbers: Range<u64>) -> Option<u64> {
        let mut blocks = self.blocks.range(numbers);
        blocks
            .find(|(_, block)| block.dirty)
            .map(|(number, _)| *number)
    }

    /// Returns a block, without marking it as used.
    pub(crate) fn peek(&self, number: u64) -> Option<&Block> {
        self.blocks.get(&number)
    }

    /// Notes that the layer below has all changes of a block.
    pub(crate) fn clean(&mut self, number: u64) {
        if let Some(block) = self.blocks.get_mut(&number) {
            block.dirty = false;
        }
    }
}
