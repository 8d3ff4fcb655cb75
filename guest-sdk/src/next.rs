//! The layer below a filter.
//!
//! [`describe`] says what it is. *By reference*, bytes never enter the filter's memory: [`redirect`] and
//! [`forward`] are carried out after the call, [`fill`] and [`store`] at once, and [`report`] splices its
//! extents in. [`read`] and [`write()`] are for bytes that must be seen.
//!
//! The whole of a filter that does nothing:
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
    /// A device of `size` bytes that can be written, and changes, as this layer does. For a filter that
    /// keeps nothing in memory: `parallel`.
    pub fn stateless(&self, size: u64) -> Device {
        self.device(size).parallel()
    }

    /// The same for a filter that remembers something of this layer: `single` where it can be written, so
    /// that no instance keeps what another has changed; else `parallel`.
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

/// What the layer below is. Doesn't change.
pub fn describe() -> LayerInfo {
    interface::describe()
}

/// The next `length` bytes of the reply are those at `offset` of the layer below.
pub fn redirect(reply: &ReadReply, offset: u64, length: u64) {
    interface::redirect(reply, offset, length);
}

/// As [`redirect`], at once; adds nothing to the reply if it fails.
pub fn fill(reply: &ReadReply, offset: u64, length: u32) -> Result<()> {
    Ok(interface::fill(reply, offset, length)?)
}

/// Reads exactly `length` bytes, 1 MiB at most.
pub fn read(offset: u64, length: u32) -> Result<Vec<u8>> {
    Ok(interface::read(offset, length)?)
}

/// Writes `length` bytes from position `start` of the payload at `offset` of the layer below.
pub fn forward(payload: &WritePayload, offset: u64, start: u32, length: u32) {
    interface::forward(payload, offset, start, length);
}

/// As [`forward`], at once.
pub fn store(
    payload: &WritePayload,
    offset: u64,
    start: u32,
    length: u32,
    flags: WriteFlags,
) -> Result<()> {
    Ok(interface::store(payload, offset, start, length, flags)?)
}

/// Writes bytes, 1 MiB at most.
pub fn write(offset: u64, bytes: &[u8], flags: WriteFlags) -> Result<()> {
    Ok(interface::write(offset, bytes, flags)?)
}

/// Makes durable all that was written.
pub fn flush() -> Result<()> {
    Ok(interface::flush()?)
}

/// The bytes aren't needed any more.
pub fn trim(offset: u64, length: u64, flags: WriteFlags) -> Result<()> {
    Ok(interface::trim(offset, length, flags)?)
}

/// Makes the bytes read as zeroes.
pub fn zero(offset: u64, length: u64, flags: WriteFlags) -> Result<()> {
    Ok(interface::zero(offset, length, flags)?)
}

/// Reads ahead.
pub fn cache(offset: u64, length: u64) -> Result<()> {
    Ok(interface::cache(offset, length)?)
}

/// Lets time pass, 10 s at most, before the layer below is asked again.
pub fn pause(milliseconds: u32) {
    interface::pause(milliseconds);
}

/// Reports what the layer below knows of `length` bytes at `offset`, as the extents at `position`.
pub fn report(extents: &Extents, offset: u64, length: u64, position: u64) -> Result<Progress> {
    Ok(interface::report(extents, offset, length, position)?)
}

/// What the layer below knows of `length` bytes at `offset`, at most `most` extents without gaps.
pub fn list_extents(offset: u64, length: u64, most: u32) -> Result<Vec<Extent>> {
    Ok(interface::list_extents(offset, length, most)?)
}
