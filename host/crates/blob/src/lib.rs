//! Files that the operator granted: the only things outside that a plugin can reach, by name.
//!
//! A [`Grant`] is what the operator wrote; a [`Blob`] is the open file behind it. Nothing that a
//! guest says ever becomes a path.

mod blocked_workers;
mod cold_reads;
mod durability;
mod error;
mod extents;
mod file;
mod fill;
mod losses;
mod transfer;
mod zeroing;

pub use blocked_workers::wake_spare_worker;
pub use durability::{Epoch, Mark, Unflushed};
pub use error::BlobError;
pub use extents::FileExtent;
pub use file::Blob;
pub use losses::{Heard, Losses};
pub use nbdbox_config::grant::{Access, Grant, GrantError};
