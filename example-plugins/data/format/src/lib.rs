//! The small language of nbdkit's data plugin, which describes a disk.
//!
//! Pure: files come through [`Files`]. No text can make this crate panic, recurse without bound, or use more memory
//! than [`limits`] allow, however large the disk is. `( 0x55 0xAA )*1000000000` takes two bytes and a number.

mod base64;
mod canvas;
mod error;
mod evaluate;
mod files;
mod item;
pub mod limits;
mod number;
mod parse;
mod picture;

use std::rc::Rc;

pub use base64::decode as decode_base64;
pub use error::Error;
pub use files::{File, Files};
pub use picture::{Leaf, Picture};

/// Evaluates `text` to the disk that it describes.
///
/// `variables` returns the text of a `$NAME`, in the same language.
///
/// # Errors
/// The place and the reason of a mistake in the text, or the limit that it exceeds.
pub fn picture(
    text: &str,
    variables: &dyn Fn(&str) -> Option<String>,
    files: &mut dyn Files,
) -> Result<Rc<Picture>, Error> {
    let items = parse::parse(text, variables)?;
    evaluate::evaluate(&items, files)
}
