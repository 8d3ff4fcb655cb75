//! The example plugins against what does the same without nbdbox: other servers, a plain array.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "in a test a panic is the verdict"
)]

mod file;
mod file_changes;
mod memory;
mod operation;
mod pattern;
mod sparse;
mod sparse_file;
