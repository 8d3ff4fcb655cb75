//! The VDI format, read-only: the place of each byte of a disk in the file.
//!
//! Pure: bytes come from a [`Source`], and this crate uses no field of an image before it has checked the field.
//! VirtualBox has published no specification except its source; this crate reads the images that QEMU reads. It refuses
//! an image with a parent.

pub mod header;
pub mod image;

pub use image::Image;
pub use image_format::{Bytes, Error, Result, Source, Stretch, Tables, pages};

/// Size of a sector, in bytes.
pub const SECTOR: u64 = 512;
