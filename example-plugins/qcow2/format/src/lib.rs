//! The qcow2 format, read-only: the file and the place of each byte of a disk.
//!
//! Pure: bytes come from a [`Source`], this crate opens nothing by name, and it uses no field of an image before it has
//! checked the field. [`pages::LIMIT`] and a few clusters bound its memory. The rules are those of QEMU's
//! `docs/interop/qcow2`.

pub mod chain;
pub mod cluster;
pub mod compression;
pub mod fields;
pub mod header;
pub mod image;
pub mod snapshot;

pub use chain::{Chain, Layer, Stretch};
pub use header::Header;
pub use image::Image;
pub use image_format::{Bytes, Error, Result, Source, pages};
