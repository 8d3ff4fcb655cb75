//! The record of changes, from `host/crates/blob`, whose other modules do I/O.

#[path = "../../../../host/crates/blob/src/durability.rs"]
#[expect(dead_code, reason = "other modules of the crate use it")]
mod durability;

pub use durability::{Epoch, Mark, Unflushed};
