//! From untrusted bytes to machine code: a child process compiles the bytes, and a private folder keeps the code.

pub(crate) mod artifact;
pub mod cache;
pub mod compile;
pub(crate) mod footprint;
pub(crate) mod pieces;
pub(crate) mod tunables;
