//! The example plugins against what does the same without nbdbox: other servers, a plain array.

mod data;
mod file;
mod file_changes;
mod memory;
mod null;
mod operation;
mod pattern;
mod sparse;
mod sparse_file;
