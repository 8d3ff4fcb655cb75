//! What the operator granted: the only things outside that a plugin can reach, by name.
//!
//! A [`Grant`] is what the operator wrote; a [`Blob`] is what is open behind it: a file, or another [`Source`]. Nothing
//! that a guest says ever becomes a path. What was changed since the last flush is [`Unflushed`]'s to know.

mod blob;
mod durability;
mod error;
mod file;
mod fill;
mod open_all;
mod source;

pub use blob::Blob;
pub use durability::{Epoch, Mark, Unflushed};
pub use error::BlobError;
pub use file::wake_spare_worker;
pub use fill::fill_from_blobs;
pub use nbdbox_config::grant::{Access, Grant, GrantError};
pub use source::{Answer, Facts, Identity, Source, SourceExtent};
