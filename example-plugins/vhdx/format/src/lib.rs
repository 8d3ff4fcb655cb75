//! The VHDX format, read-only: the place of each byte of a disk in the file.
//!
//! Pure: bytes come from a [`Source`], and this crate uses no field of an image before it has checked the field. The
//! rules are those of Microsoft's [MS-VHDX]; comments name its sections. A log with changes that aren't in place yet is
//! replayed in memory. It refuses an image with a parent.

pub mod block;
pub mod fields;
pub mod header;
pub mod image;
pub mod log;
pub mod metadata;
pub mod region;

pub use image::Image;
pub use image_format::{Bytes, Error, Result, Source, Stretch, Tables, pages};
