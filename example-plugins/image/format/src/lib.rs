//! What the readers of image formats share: where bytes come from, and why an image can't be served.
//!
//! Pure: nothing is opened here, and memory is bounded by [`pages::LIMIT`].

pub mod bytes;
pub mod error;
pub mod pages;
pub mod tables;

pub use bytes::Bytes;
pub use error::{Error, Result};
pub use pages::{Pages, Source};
pub use tables::{Stretch, Tables};

/// `N` bytes at `at` of a byte string that may be too short.
pub fn field<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N]> {
    bytes
        .get(at..)
        .and_then(|rest| rest.first_chunk())
        .copied()
        .ok_or_else(|| Error::malformed("the file ends in its header"))
}
