//! The example plugins against the same work without nbdbox: other servers, or a plain array.

mod data;
mod file;
mod file_changes;
mod memory;
mod null;
mod operation;
mod pattern;
mod sparse;
mod sparse_file;
