//! The blobs that an operator granted: the only files and sources that a plugin can reach, each under a name.
//!
//! A [`Grant`] is the operator's decision; a [`Blob`] is what is open behind it: a file, or another [`Source`]. No text
//! from a guest becomes a path. A file is open once for each access, and locked, so that no two exports write it at
//! once, nor does another program that respects QEMU's locks. [`Unflushed`] knows what was changed since the last
//! flush.

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
