//! The code that the readers of image formats share: sources of bytes, and errors.
//!
//! Pure: this crate opens nothing, and [`pages::LIMIT`] bounds its memory.

pub mod bytes;
pub mod error;
pub mod pages;
pub mod tables;

pub use bytes::Bytes;
pub use error::{Error, Result};
pub use pages::{Pages, Source};
pub use tables::{Stretch, Tables};

/// Returns `N` bytes at `at` of a byte string; an error if it is too short.
pub fn field<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N]> {
    bytes
        .get(at..)
        .and_then(|rest| rest.first_chunk())
        .copied()
        .ok_or_else(|| Error::malformed("the file ends inside its header"))
}
