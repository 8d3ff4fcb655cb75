//! The overlay: the place of changed blocks.

use nbdbox_plugin::{Access, Blob, Error, ReadReply, Result, WriteFlags, WritePayload, config};

use crate::blocks::Blocks;
use crate::file::File;
use crate::memory::Memory;

/// A file, or memory.
pub(crate) enum Overlay {
    File(File),
    Memory(Memory),
}

impl Overlay {
    /// Opens the overlay that the operator chose, and reads its map.
    pub(crate) fn open(export: &str, blocks: &mut Blocks) -> Result<Self> {
        let memory = config::text("memory").unwrap_or_default().to_lowercase();
        let memory = ["true", "yes", "on", "1"].contains(&memory.as_str());
        match (Blob::open("overlay"), memory) {
            (Ok(blob), false) => File::open(blob, export, blocks).map(Self::File),
            (Err(_), true) => Ok(Self::Memory(Memory::new(blocks.block()))),
            (Ok(_), true) => Err(Error::invalid(
                "memory=yes and the blob `overlay` exclude each other: give one of them",
            )),
            (Err(_), false) => Err(Error::invalid(
                "there is no overlay: grant the blob `overlay` as rw, or set memory=yes",
            )),
        }
    }

    pub(crate) fn is_writable(&self) -> bool {
        match self {
            Self::File(file) => file.access() == Access::ReadWrite,
            Self::Memory(_) => true,
        }
    }

    /// Reads bytes of blocks in the overlay.
    pub(crate) fn read(&self, reply: &ReadReply, offset: u64, length: u64) {
        match self {
            Self::File(file) => file.read(reply, offset, length),
            Self::Memory(memory) => memory.read(reply, offset, length),
        }
    }

    /// Changes bytes of blocks in the overlay.
    pub(crate) fn store(
        &mut self,
        payload: &WritePayload,
        offset: u64,
        start: u32,
        length: u32,
    ) -> Result<()> {
        match self {
            Self::File(file) => file.store(payload, offset, start, length),
            Self::Memory(memory) => memory.store(payload, offset, start, length),
        }
        Ok(())
    }

    /// Adds a block to the overlay.
    pub(crate) fn put(&mut self, offset: u64, bytes: Vec<u8>) -> Result<()> {
        match self {
            Self::File(file) => file.put(offset, &bytes),
            Self::Memory(memory) => memory.put(offset, bytes),
        }
    }

    /// Makes bytes of blocks in the overlay read as zeroes.
    pub(crate) fn zero(&mut self, offset: u64, length: u64) -> Result<()> {
        match self {
            Self::File(file) => file.zero(offset, length),
            Self::Memory(memory) => memory.zero(offset, length),
        }
    }

    /// Allocates whole blocks of zeroes; with FAST_ZERO in `flags`, fast or not at all. Returns `false` if this overlay
    /// doesn't allocate in advance.
    pub(crate) fn allocate(&mut self, offset: u64, length: u64, flags: WriteFlags) -> Result<bool> {
        match self {
            Self::File(file) => file.allocate(offset, length, flags).map(|()| true),
            Self::Memory(_) => Ok(false),
        }
    }

    /// Frees blocks.
    pub(crate) fn drop(&mut self, offset: u64, length: u64) -> Result<()> {
        match self {
            Self::File(file) => file.drop(offset, length),
            Self::Memory(memory) => memory.drop(offset, length),
        }
    }

    pub(crate) fn prefetch(&self, offset: u64, length: u64) -> Result<()> {
        match self {
            Self::File(file) => file.prefetch(offset, length),
            Self::Memory(_) => Ok(()),
        }
    }

    /// Makes all changes durable, if the overlay is a file.
    pub(crate) fn flush(&mut self, blocks: &mut Blocks) -> Result<()> {
        match self {
            Self::File(file) => file.flush(blocks),
            Self::Memory(_) => Ok(()),
        }
    }
}
