//! An overlay in a granted blob.
//!
//! The filter writes the map only after all blocks that it names are durable. After a crash, a block therefore holds
//! its bytes of the last flush or newer ones, and never anything else.

use nbdbox_plugin::{Access, Blob, Error, ReadReply, Result, WriteFlags, WritePayload};

use crate::blocks::Blocks;
use crate::header::{HEADER, check, header};

/// Bytes of the map in one read.
const READ: usize = 1 << 20;

pub(crate) struct File {
    blob: Blob,
    /// The offset of the first block.
    data: u64,
}

impl File {
    /// Opens an overlay, or makes one in an empty blob.
    pub(crate) fn open(blob: Blob, export: &str, blocks: &mut Blocks) -> Result<Self> {
        let data = (HEADER + blocks.len() as u64).next_multiple_of(blocks.block().max(4096));
        let (has, needs) = (blob.size()?, data + blocks.size());
        if has < needs {
            return Err(Error::invalid(format!(
                "the overlay has {has} bytes and needs {needs}: run truncate -s {needs} FILE"
            )));
        }
        let file = Self { blob, data };
        let wanted = header(export, blocks.size(), blocks.block());
        let found = file.blob.read(0, HEADER as u32)?;
        if found.iter().any(|byte| *byte != 0) {
            check(&found, &wanted)?;
            file.load(blocks)?;
        } else if file.access() == Access::ReadWrite {
            file.make(&wanted, blocks)?;
        }
        Ok(file)
    }

    /// Makes a new overlay: zeroes the map, which may hold old bytes, and then writes the header.
    fn make(&self, header: &[u8], blocks: &Blocks) -> Result<()> {
        let map = self.data - HEADER;
        debug_assert!(blocks.len() as u64 <= map);
        self.blob.zero(HEADER, map, WriteFlags::empty())?;
        self.blob.flush()?;
        self.blob.write(0, header, WriteFlags::FUA)?;
        Ok(())
    }

    fn load(&self, blocks: &mut Blocks) -> Result<()> {
        let length = blocks.len();
        for at in (0..length).step_by(READ) {
            let count = READ.min(length - at);
            let bytes = self.blob.read(HEADER + at as u64, count as u32)?;
            blocks.load(at, &bytes)?;
        }
        Ok(())
    }

    pub(crate) fn access(&self) -> Access {
        self.blob.access()
    }

    pub(crate) fn read(&self, reply: &ReadReply, offset: u64, length: u64) {
        reply.blob(&self.blob, self.data + offset, length);
    }

    pub(crate) fn store(&self, payload: &WritePayload, offset: u64, start: u32, length: u32) {
        payload.store(&self.blob, self.data + offset, start, length);
    }

    pub(crate) fn put(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        Ok(self
            .blob
            .write(self.data + offset, bytes, WriteFlags::empty())?)
    }

    pub(crate) fn zero(&self, offset: u64, length: u64) -> Result<()> {
        Ok(self
            .blob
            .zero(self.data + offset, length, WriteFlags::NO_HOLE)?)
    }

    pub(crate) fn allocate(&self, offset: u64, length: u64, flags: WriteFlags) -> Result<()> {
        let flags = flags & (WriteFlags::NO_HOLE | WriteFlags::FAST_ZERO);
        Ok(self.blob.zero(self.data + offset, length, flags)?)
    }

    pub(crate) fn drop(&self, offset: u64, length: u64) -> Result<()> {
        Ok(self
            .blob
            .trim(self.data + offset, length, WriteFlags::empty())?)
    }

    pub(crate) fn prefetch(&self, offset: u64, length: u64) -> Result<()> {
        Ok(self.blob.prefetch(self.data + offset, length)?)
    }

    /// First the blocks, then the map that names them.
    pub(crate) fn flush(&self, blocks: &mut Blocks) -> Result<()> {
        self.blob.flush()?;
        let dirty = blocks.dirty();
        if dirty.is_empty() {
            return Ok(());
        }
        for range in &dirty {
            let at = HEADER + range.start as u64;
            let bytes = blocks.bytes(range.clone());
            self.blob.write(at, bytes, WriteFlags::empty())?;
        }
        self.blob.flush()?;
        for range in &dirty {
            blocks.clean(range);
        }
        Ok(())
    }
}
