//! The qcow2 format, read-only: where each byte of a disk is, in which file.
//!
//! Pure: bytes come from a [`Source`], nothing is opened by name, and no field of an image is
//! believed before it was checked. Memory is bounded by [`pages::LIMIT`] and a few clusters.
//! After QEMU's `docs/interop/qcow2`.

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
