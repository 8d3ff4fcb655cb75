//! The traits that a plugin implements: [`Plugin`], and any of the optional ones.
//!
//! `wit/device.wit` specifies each call, and what the host has checked before. Calls to one instance never overlap.

use crate::bindings::device::interface::DeviceInfo;
pub use crate::bindings::device::interface::{BlockSizes, InstanceMode};
pub use crate::bindings::export_list::interface::ListedExport;
use crate::manifest::Manifest;
use crate::{Errno, bindings};
use crate::{Error, Extents, Mapping, ReadReply, Result, WriteFlags, WritePayload};

/// A block device. The value is the state of one instance.
pub trait Plugin: Sized + 'static {
    /// Describes the plugin. The host calls it in an instance of its own, without grants and settings.
    fn manifest() -> Manifest;

    /// Prepares the instance to serve the export `name`, which the operator chose unless the plugin lists exports of
    /// its own. Read settings, open blobs and read tables here.
    fn open(name: &str) -> Result<Self>;

    /// Returns size, block sizes, mode and more. The kit calls it once, right after [`open`](Self::open).
    fn describe(&self) -> Device;

    /// Fills `reply` with exactly `length` bytes from `offset`. The host has checked that the range is inside the
    /// device and not empty.
    fn read(&mut self, reply: &ReadReply, offset: u64, length: u32) -> Result<()>;
}

/// A plugin that clients can write to. Without it the export is read-only.
pub trait Writable: Plugin {
    /// Writes the payload at `offset`. With [`WriteFlags::FUA`], the bytes must be durable when it returns.
    fn write(&mut self, payload: &WritePayload, offset: u64, flags: WriteFlags) -> Result<()>;

    /// Makes every change durable that was answered before this call began. Does nothing by default: the host flushes
    /// granted blobs itself.
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

/// A writable plugin that can trim and zero.
pub trait Zeroable: Writable {
    /// The client doesn't need the range any more. A hint; ignored by default.
    fn trim(&mut self, _offset: u64, _length: u64, _flags: WriteFlags) -> Result<()> {
        Ok(())
    }

    /// Makes the range read as zeroes. With [`WriteFlags::FAST_ZERO`], return `ENOTSUP` and change nothing, unless this
    /// is faster than writing.
    fn zero(&mut self, offset: u64, length: u64, flags: WriteFlags) -> Result<()>;
}

/// A plugin that reports where its data and holes are.
pub trait Sparse: Plugin {
    /// Adds what the plugin knows of the range to `extents`. The host takes the rest for data, which is always correct.
    fn extents(&mut self, extents: &Extents, offset: u64, length: u64, one: bool) -> Result<()>;
}

/// An [immutable](Device::immutable) plugin that reports where its bytes are.
pub trait Mappable: Plugin {
    /// Reports where the byte at `offset` is, and the bytes around it, in ascending pieces, as far as one table
    /// reaches. The host remembers the answer. It calls [`read`](Plugin::read) only for pieces that are
    /// [computed](Mapping::computed) or unknown.
    fn locate(&mut self, mapping: &Mapping, offset: u64, length: u64) -> Result<()>;
}

/// A plugin that can read ahead.
pub trait Prefetch: Plugin {
    /// The client will read this range soon.
    fn cache(&mut self, offset: u64, length: u64) -> Result<()>;
}

/// A filter: a plugin over another layer, which it reaches through [`next`](crate::next).
pub trait Filter: Plugin {
    /// Returns whether the filter changes bytes on their way. If it does, nothing goes by reference.
    fn changes_bytes() -> bool {
        false
    }
}

/// A plugin that serves several exports.
pub trait ExportList: Plugin {
    /// Lists the exports that clients can open now. The host calls it in an instance that isn't open.
    fn list_exports() -> Result<Vec<ListedExport>>;
}

/// The device that [`Plugin::describe`] returns.
#[derive(Debug, Clone)]
pub struct Device {
    info: DeviceInfo,
}

impl Device {
    /// A device of `size` bytes, in mode `single`: one instance, whose calls queue.
    pub fn new(size: u64) -> Self {
        Self {
            info: DeviceInfo {
                size,
                block_sizes: None,
                description: None,
                mode: InstanceMode::Single,
                read_only: false,
                immutable: false,
            },
        }
    }

    /// Sets mode `parallel`: the host runs several instances, and any of them can serve any call.
    pub fn parallel(mut self) -> Self {
        self.info.mode = InstanceMode::Parallel;
        self
    }

    /// Makes this export read-only, even if the plugin is [`Writable`].
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.info.read_only = read_only;
        self
    }

    /// States that the contents never change, so the host may remember extents and where bytes are.
    pub fn immutable(mut self) -> Self {
        self.info.immutable = true;
        self
    }

    /// Adds a text for `nbdinfo` and similar tools.
    pub fn description(mut self, text: impl Into<String>) -> Self {
        self.info.description = Some(text.into());
        self
    }

    /// Sets NBD's block size constraints, in bytes. `minimum` is a power of two from 1 to 65,536. `preferred` is a
    /// power of two, at least 512 and at least `minimum`. `maximum` is a multiple of `minimum` and at least
    /// `preferred`; above 32 MiB it counts as 32 MiB.
    pub fn block_sizes(mut self, minimum: u32, preferred: u32, maximum: u32) -> Self {
        self.info.block_sizes = Some(BlockSizes {
            minimum,
            preferred,
            maximum,
        });
        self
    }

    pub(crate) fn into_info(self) -> bindings::device::interface::DeviceInfo {
        self.info
    }
}

/// The error for a call before `open` has succeeded. The host never makes one.
pub(crate) fn not_open() -> Error {
    Error::new(Errno::Eio, "the plugin isn't open")
}
