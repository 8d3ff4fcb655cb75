//! A part of the layer below, as a device.

use crate::{Device, Error, Extents, ReadReply, Result, WriteFlags, WritePayload, next};

/// A part of the layer below, for filters that only shift offsets. Everything goes by reference.
///
/// The methods match those of the traits. Offsets count from the start of the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    start: u64,
    size: u64,
}

impl Window {
    /// The `size` bytes from `start` on. An error if they aren't inside the layer below, or `start` isn't on one of its
    /// blocks.
    pub fn new(start: u64, size: u64) -> Result<Self> {
        let below = next::describe();
        let inside = start.checked_add(size).is_some_and(|end| end <= below.size);
        if !inside {
            return Err(Error::invalid(format!(
                "{size} bytes at {start} aren't inside the layer below, which has {} bytes",
                below.size
            )));
        }
        if start % u64::from(below.minimum) != 0 {
            return Err(Error::invalid(format!(
                "{start} isn't a multiple of the block size of the layer below, {} bytes",
                below.minimum
            )));
        }
        Ok(Self { start, size })
    }

    /// Its start in the layer below, in bytes.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The device: `parallel`, and writable and mutable as the layer below is.
    pub fn device(&self) -> Device {
        next::describe().stateless(self.size)
    }

    /// Redirects a read.
    pub fn read(&self, reply: &ReadReply, offset: u64, length: u32) {
        next::redirect(reply, self.start + offset, length.into());
    }

    /// Forwards a write.
    pub fn write(&self, payload: &WritePayload, offset: u64) {
        next::forward(payload, self.start + offset, 0, payload.length());
    }

    /// Trims a range.
    pub fn trim(&self, offset: u64, length: u64, flags: WriteFlags) -> Result<()> {
        next::trim(self.start + offset, length, flags)
    }

    /// Zeroes a range.
    pub fn zero(&self, offset: u64, length: u64, flags: WriteFlags) -> Result<()> {
        next::zero(self.start + offset, length, flags)
    }

    /// Reports the extents of a range.
    pub fn extents(&self, extents: &Extents, offset: u64, length: u64) -> Result<()> {
        next::report(extents, self.start + offset, length, offset)?;
        Ok(())
    }

    /// Reads a range ahead.
    pub fn cache(&self, offset: u64, length: u64) -> Result<()> {
        next::cache(self.start + offset, length)
    }
}
