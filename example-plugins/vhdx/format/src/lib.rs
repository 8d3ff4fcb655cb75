//! The VHDX format, read-only: where each byte of a disk is in the file.
//!
//! Pure: bytes come from a [`Source`], and no field of an image is believed before it was checked. After
//! Microsoft's [MS-VHDX], whose sections the comments name. A log with changes that aren't in place yet is
//! replayed in memory. An image that stands on a parent is refused.

pub mod block;
pub mod fields;
pub mod header;
pub mod image;
pub mod log;
pub mod metadata;
pub mod region;

pub use image::Image;
pub use image_format::{Bytes, Error, Result, Source, Stretch, Tables, pages};
