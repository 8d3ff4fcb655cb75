//! What a plugin's bytes say of themselves: the WIT's types, the world that a component exports, its manifest.
//!
//! Runs nothing. The level above, `component`, makes bytes into machine code.

pub(crate) mod advice;
pub(crate) mod interfaces;
pub(crate) mod manifest;
pub(crate) mod names;
pub(crate) mod wit;
pub(crate) mod world;
