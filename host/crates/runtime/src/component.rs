//! From untrusted bytes to machine code: compiled by a child process, kept in a private folder.

pub(crate) mod artifact;
pub mod cache;
pub mod compile;
pub(crate) mod footprint;
pub(crate) mod pieces;
pub(crate) mod tunables;
