//! The VMDK format, read-only: the file and the place of each byte of a disk.
//!
//! Pure: bytes come from a [`Source`], this crate opens nothing by name, and it uses no field of an image before it has
//! checked the field. The rules are those of VMware's "Virtual Disk Format 5.0", and QEMU's where it is silent.

pub mod descriptor;
pub mod disk;
pub mod grain;
pub mod header;
pub mod sparse;

pub use descriptor::{Descriptor, ExtentKind};
pub use disk::{Disk, Image, Stretch};
pub use image_format::{Bytes, Error, Result, Source, pages};

/// Size of a sector in bytes, the unit of this format.
pub const SECTOR: u64 = 512;
