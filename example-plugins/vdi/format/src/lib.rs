//! The VDI format, read-only: where each byte of a disk is in the file.
//!
//! Pure: bytes come from a [`Source`], and no field of an image is believed before it was checked. Its maker,
//! VirtualBox, has published no specification but its source; this reads what QEMU reads. An image that stands
//! on a parent is refused.

pub mod header;
pub mod image;

pub use image::Image;
pub use image_format::{Bytes, Error, Result, Source, Stretch, Tables, pages};

/// Bytes of a sector.
pub const SECTOR: u64 = 512;
