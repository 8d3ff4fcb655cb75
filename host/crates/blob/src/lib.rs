//! What the operator granted: the only things outside that a plugin can reach, by name.
//!
//! A [`Grant`] is what the operator wrote; a [`Blob`] is what is open behind it: a file, or another [`Source`]. Nothing
//! that a guest says ever becomes a path. A file is open once for each access, and locked: no two exports, and no other
//! program that looks at QEMU's locks, write it at once. What was changed since the last flush is [`Unflushed`]'s to know.

mod blob;
mod drift;
mod durability;
mod error;
mod file;
mod fill;
mod open_all;
mod opener;
mod source;

pub use blob::Blob;
pub use drift::Look;
pub use durability::{Epoch, Mark, Unflushed};
pub use error::BlobError;
pub use file::wake_spare_worker;
pub use fill::fill_from_blobs;
pub use nbdbox_config::grant::{Access, Grant, GrantError};
pub use opener::Opener;
pub use source::{Answer, Facts, Identity, Source, SourceExtent};
