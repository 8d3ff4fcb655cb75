//! What a plugin's bytes declare: the WIT's types, the world that a component exports, and its manifest.
//!
//! Nothing here runs a guest. `component` turns bytes into machine code.

pub(crate) mod advice;
pub(crate) mod interfaces;
pub(crate) mod manifest;
pub(crate) mod names;
pub(crate) mod wit;
pub(crate) mod world;
