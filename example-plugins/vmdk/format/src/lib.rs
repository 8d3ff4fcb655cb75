//! The VMDK format, read-only: where each byte of a disk is, in which file.
//!
//! Pure: bytes come from a [`Source`], nothing is opened by name, and no field of an image is believed
//! before it was checked. After VMware's "Virtual Disk Format 5.0", and QEMU where that is silent.

pub mod descriptor;
pub mod disk;
pub mod grain;
pub mod header;
pub mod sparse;

pub use descriptor::{Descriptor, ExtentKind};
pub use disk::{Disk, Image, Stretch};
pub use image_format::{Bytes, Error, Result, Source, pages};

/// Bytes of a sector, the unit of everything in this format.
pub const SECTOR: u64 = 512;
