//! The traits that a plugin implements: [`Plugin`] always, the others as it can.
//!
//! The contract of each call is in `wit/device.wit`; what the host has checked before it calls is
//! said there too. Calls to one instance never overlap.

use crate::bindings::device::interface::DeviceInfo;
pub use crate::bindings::device::interface::{BlockSizes, InstanceMode};
pub use crate::bindings::export_list::interface::ListedExport;
use crate::manifest::Manifest;
use crate::{Errno, bindings};
use crate::{Error, Extents, Mapping, ReadReply, Result, WriteFlags, WritePayload};

/// A block device. The value is the state of one instance.
pub trait Plugin: Sized + 'static {
    /// What the plugin is and needs. Called in an instance of its own, with nothing granted.
    fn manifest() -> Manifest;

    /// Makes the instance ready to serve the export `name` (the operator's, unless the plugin lists
    /// exports of its own). Read settings and open blobs here.
    fn open(name: &str) -> Result<Self>;

    /// Size, block sizes, mode. Asked once, right after [`open`](Self::open).
    fn describe(&self) -> Device;

    /// Fills `reply` with exactly `length` bytes from `offset`. The range is inside the device and
    /// not empty.
    fn read(&mut self, reply: &ReadReply, offset: u64, length: u32) -> Result<()>;
}

/// A plugin that can be written. Without it the export is read-only.
pub trait Writable: Plugin {
    /// Writes the payload at `offset`. With [`WriteFlags::FUA`]: durable before it returns.
    fn write(&mut self, payload: &WritePayload, offset: u64, flags: WriteFlags) -> Result<()>;

    /// Makes every write that was answered so far durable. By default there is nothing to do.
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

/// A writable plugin that can trim and zero ranges.
pub trait Zeroable: Writable {
    /// The client doesn't need the range any more. By default the hint is ignored.
    fn trim(&mut self, _offset: u64, _length: u64, _flags: WriteFlags) -> Result<()> {
        Ok(())
    }

    /// Makes the range read as zeroes. With [`WriteFlags::FAST_ZERO`]: `ENOTSUP` unless that is
    /// faster than writing.
    fn zero(&mut self, offset: u64, length: u64, flags: WriteFlags) -> Result<()>;
}

/// A plugin that knows where its data is.
pub trait Sparse: Plugin {
    /// Adds what is known of the range to `extents`; leaving out is always right.
    fn extents(&mut self, extents: &Extents, offset: u64, length: u64, one: bool) -> Result<()>;
}

/// A plugin that knows where its bytes are, for good: one that is [immutable](Device::immutable).
pub trait Mappable: Plugin {
    /// Tells where the byte at `offset` is, and those around it, upwards, as far as one table says. The
    /// host remembers it, and calls [`read`](Plugin::read) only for what is
    /// [computed](Mapping::computed) or unknown.
    fn locate(&mut self, mapping: &Mapping, offset: u64, length: u64) -> Result<()>;
}

/// A plugin that can read ahead.
pub trait Prefetch: Plugin {
    /// The client will read this range soon.
    fn cache(&mut self, offset: u64, length: u64) -> Result<()>;
}

/// A plugin that stands on another layer, and asks it through [`next`](crate::next): a filter.
pub trait Filter: Plugin {
    /// Whether the bytes read differ from those of the layer below. Then nothing goes by reference.
    fn changes_bytes() -> bool {
        false
    }
}

/// A plugin that serves more than one export.
pub trait ExportList: Plugin {
    /// The exports that can be opened. Called in an instance that isn't open.
    fn list_exports() -> Result<Vec<ListedExport>>;
}

/// What [`Plugin::describe`] answers.
#[derive(Debug, Clone)]
pub struct Device {
    info: DeviceInfo,
}

impl Device {
    /// A device of `size` bytes, in one instance whose calls queue.
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

    /// Lets the host run many instances at once: nothing that matters is kept in guest memory.
    pub fn parallel(mut self) -> Self {
        self.info.mode = InstanceMode::Parallel;
        self
    }

    /// This export can't be written although the plugin could.
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.info.read_only = read_only;
        self
    }

    /// The contents never change, so the host may remember extents, and where bytes are.
    pub fn immutable(mut self) -> Self {
        self.info.immutable = true;
        self
    }

    /// A text for `nbdinfo` and its like.
    pub fn description(mut self, text: impl Into<String>) -> Self {
        self.info.description = Some(text.into());
        self
    }

    /// NBD's size constraints, in bytes: `minimum` is a power of two from 1 to 65,536, `preferred` one of at
    /// least 512 and `minimum`, `maximum` a multiple of `minimum` and at least `preferred`; above 32 MiB it
    /// counts as 32 MiB.
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

/// The error for a call that came before `open` succeeded: the host doesn't do that.
pub(crate) fn not_open() -> Error {
    Error::new(Errno::Eio, "the plugin isn't open")
}
