//! The VHD format, read-only: the place of each byte of a disk in the file.
//!
//! Pure: bytes come from a [`Source`], and this crate uses no field of an image before it has checked the field. The
//! rules are those of Microsoft's "Virtual Hard Disk Image Format Specification", and QEMU where it is silent. It
//! refuses an image with a parent.

pub mod fields;
pub mod footer;
pub mod header;
pub mod image;

pub use image::Image;
pub use image_format::{Bytes, Error, Result, Source, Stretch, Tables, pages};

/// Size of a sector in bytes, the unit of the block table.
pub const SECTOR: u64 = 512;
