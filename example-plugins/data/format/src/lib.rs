//! The little language of nbdkit's data plugin: text becomes a disk.
//!
//! Pure: files are asked for through [`Files`], and no text can make it panic, recurse without bound, or
//! take more memory than [`limits`] say, however large the disk is that it describes. `( 0x55 0xAA
//! )*1000000000` is two bytes and a number here.

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

/// Reads `text`, and works out the disk that it describes.
///
/// `variables` gives the text of a `$NAME`, in the same language.
///
/// # Errors
/// Where the text is wrong and why, or which limit it exceeds.
pub fn picture(
    text: &str,
    variables: &dyn Fn(&str) -> Option<String>,
    files: &mut dyn Files,
) -> Result<Rc<Picture>, Error> {
    let items = parse::parse(text, variables)?;
    evaluate::evaluate(&items, files)
}
