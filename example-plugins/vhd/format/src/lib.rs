//! The VHD format, read-only: where each byte of a disk is in the file.
//!
//! Pure: bytes come from a [`Source`], and no field of an image is believed before it was checked. After
//! Microsoft's "Virtual Hard Disk Image Format Specification", and QEMU where that is silent. An image that
//! stands on a parent is refused.

pub mod fields;
pub mod footer;
pub mod header;
pub mod image;

pub use image::Image;
pub use image_format::{Bytes, Error, Result, Source, Stretch, Tables, pages};

/// Bytes of a sector, in which the block table counts.
pub const SECTOR: u64 = 512;
