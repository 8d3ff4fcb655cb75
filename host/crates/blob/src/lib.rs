//! Files that the operator granted: the only things outside that a plugin can reach, by name.
//!
//! A [`Grant`] is what the operator wrote; a [`Blob`] is the open file behind it. Nothing that a
//! guest says ever becomes a path.

mod durability;
mod error;
mod extents;
mod file;
mod fulfil;
mod in_place;
mod losses;
mod missing;
mod transfer;
mod zeroing;

pub use durability::{Epoch, Mark, Unflushed};
pub use error::BlobError;
pub use extents::FileExtent;
pub use file::Blob;
pub use in_place::relieve;
pub use losses::{Heard, Losses};
pub use nbdbox_config::grant::{Access, Grant, GrantError};
