//! The layer below a filter.
//!
//! [`describe`] returns its size and block sizes, and what it can do. Three ways to move bytes:
//!
//! - *By reference, deferred*: [`redirect`] and [`forward`]. The host carries them out after the call.
//! - *By reference, at once*: [`fill`] and [`store`]. The filter gets the outcome.
//! - *Through the sandbox*: [`read`] and [`write()`], for bytes that the filter must see.
//!
//! [`report`] adds the extents of the layer below to a report. A complete filter that passes everything on:
//!
//! ```
//! use nbdbox_plugin::{Device, Filter, Manifest, Plugin, ReadReply, Result, next};
//!
//! struct Nothing;
//!
//! impl Plugin for Nothing {
//!     fn manifest() -> Manifest {
//!         Manifest::new("nothing", "1.0.0", "passes everything on")
//!     }
//!
//!     fn open(_name: &str) -> Result<Self> {
//!         Ok(Self)
//!     }
//!
//!     fn describe(&self) -> Device {
//!         Device::new(next::describe().size).parallel()
//!     }
//!
//!     fn read(&mut self, reply: &ReadReply, offset: u64, length: u32) -> Result<()> {
//!         next::redirect(reply, offset, length.into());
//!         Ok(())
//!     }
//! }
//!
//! impl Filter for Nothing {}
//!
//! nbdbox_plugin::export!(Nothing: Filter);
//! # fn main() {}
//! ```

use crate::bindings::next::interface;
pub use crate::bindings::next::interface::LayerInfo;
use crate::{Device, Extent, Extents, Progress, ReadReply, Result, WriteFlags, WritePayload};

impl LayerInfo {
    /// A device of `size` bytes, writable and mutable as this layer is, in mode `parallel`: for a filter that keeps no
    /// state in memory.
    pub fn stateless(&self, size: u64) -> Device {
        self.device(size).parallel()
    }

    /// The same for a filter that caches something of this layer. If the layer is writable, the mode is `single`, so
    /// that no instance caches bytes that another one changes; otherwise it is `parallel`.
    pub fn remembering(&self, size: u64) -> Device {
        let device = self.device(size);
        if self.read_only {
            device.parallel()
        } else {
            device
        }
    }

    fn device(&self, size: u64) -> Device {
        let device = Device::new(size).read_only(self.read_only);
        if self.immutable {
            device.immutable()
        } else {
            device
        }
    }
}

/// Describes the layer below. The answer doesn't change while the instance lives.
pub fn describe() -> LayerInfo {
    interface::describe()
}

/// Appends `length` bytes from `offset` of the layer below to the reply. The host reads them after the call.
pub fn redirect(reply: &ReadReply, offset: u64, length: u64) {
    interface::redirect(reply, offset, length);
}

/// Like [`redirect`], but at once. An error appends nothing to the reply.
pub fn fill(reply: &ReadReply, offset: u64, length: u32) -> Result<()> {
    Ok(interface::fill(reply, offset, length)?)
}

/// Reads exactly `length` bytes, at most 1 MiB, into the sandbox.
pub fn read(offset: u64, length: u32) -> Result<Vec<u8>> {
    Ok(interface::read(offset, length)?)
}

/// Writes `length` bytes, from position `start` of the payload, at `offset` of the layer below. The host writes them
/// after the call, with the request's own FUA.
pub fn forward(payload: &WritePayload, offset: u64, start: u32, length: u32) {
    interface::forward(payload, offset, start, length);
}

/// Like [`forward`], but at once: an error is returned here.
pub fn store(
    payload: &WritePayload,
    offset: u64,
    start: u32,
    length: u32,
    flags: WriteFlags,
) -> Result<()> {
    Ok(interface::store(payload, offset, start, length, flags)?)
}

/// Writes bytes, at most 1 MiB.
pub fn write(offset: u64, bytes: &[u8], flags: WriteFlags) -> Result<()> {
    Ok(interface::write(offset, bytes, flags)?)
}

/// Makes all earlier changes of the layer below durable.
pub fn flush() -> Result<()> {
    Ok(interface::flush()?)
}

/// Trims the range. A hint.
pub fn trim(offset: u64, length: u64, flags: WriteFlags) -> Result<()> {
    Ok(interface::trim(offset, length, flags)?)
}

/// Makes the range read as zeroes.
pub fn zero(offset: u64, length: u64, flags: WriteFlags) -> Result<()> {
    Ok(interface::zero(offset, length, flags)?)
}

/// Lets the layer below read the range ahead. A hint.
pub fn cache(offset: u64, length: u64) -> Result<()> {
    Ok(interface::cache(offset, length)?)
}

/// Waits, at most 10 s, before the filter tries the layer below again.
pub fn pause(milliseconds: u32) {
    interface::pause(milliseconds);
}

/// Adds the extents of the layer below, for `length` bytes at `offset`, to a report as the extents at `position`.
pub fn report(extents: &Extents, offset: u64, length: u64, position: u64) -> Result<Progress> {
    Ok(interface::report(extents, offset, length, position)?)
}

/// Returns the extents of the layer below for `length` bytes at `offset`: at most `most`, without gaps.
pub fn list_extents(offset: u64, length: u64, most: u32) -> Result<Vec<Extent>> {
    Ok(interface::list_extents(offset, length, most)?)
}
