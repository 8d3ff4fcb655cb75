//! The VHDX format, read-only: where each byte of a disk is in the file.
//!
//! Pure: bytes come from a [`Source`], and no field of an image is believed before it was checked. After
//! Microsoft's [MS-VHDX], whose sections the comments name. An image whose log has changes that aren't in
//! place yet is refused, and so is one that stands on a parent.

pub mod block;
pub mod fields;
pub mod header;
pub mod image;
pub mod metadata;
pub mod region;

pub use image::{Image, Stretch};
pub use image_format::{Bytes, Error, Result, Source, pages};
