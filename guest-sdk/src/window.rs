//! A part of the layer below, as a disk of its own.

use crate::{Device, Error, Extents, ReadReply, Result, WriteFlags, WritePayload, next};

/// A part of the layer below, for filters that only shift: everything goes by reference.
///
/// Its methods are those of the traits; offsets are the filter's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    start: u64,
    size: u64,
}

impl Window {
    /// The `size` bytes from `start` on; an error that says why if that isn't a part of the layer
    /// below, on its blocks.
    pub fn new(start: u64, size: u64) -> Result<Self> {
        let below = next::describe();
        let inside = start.checked_add(size).is_some_and(|end| end <= below.size);
        if !inside {
            return Err(Error::invalid(format!(
                "{size} bytes at {start} aren't inside the layer below, which has {}",
                below.size
            )));
        }
        if start % u64::from(below.minimum) != 0 {
            return Err(Error::invalid(format!(
                "{start} isn't on a block of the layer below, which has {} bytes",
                below.minimum
            )));
        }
        Ok(Self { start, size })
    }

    /// Where it starts in the layer below.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The device that it is: parallel, and written and changing as the layer below.
    pub fn device(&self) -> Device {
        next::describe().stateless(self.size)
    }

    /// Reads.
    pub fn read(&self, reply: &ReadReply, offset: u64, length: u32) {
        next::redirect(reply, self.start + offset, length.into());
    }

    /// Writes.
    pub fn write(&self, payload: &WritePayload, offset: u64) {
        next::forward(payload, self.start + offset, 0, payload.length());
    }

    /// Trims.
    pub fn trim(&self, offset: u64, length: u64, flags: WriteFlags) -> Result<()> {
        next::trim(self.start + offset, length, flags)
    }

    /// Zeroes.
    pub fn zero(&self, offset: u64, length: u64, flags: WriteFlags) -> Result<()> {
        next::zero(self.start + offset, length, flags)
    }

    /// Reports extents.
    pub fn extents(&self, extents: &Extents, offset: u64, length: u64) -> Result<()> {
        next::report(extents, self.start + offset, length, offset)?;
        Ok(())
    }

    /// Reads ahead.
    pub fn cache(&self, offset: u64, length: u64) -> Result<()> {
        next::cache(self.start + offset, length)
    }
}
