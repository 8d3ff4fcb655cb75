//! Plugins: untrusted WebAssembly components, run within what they were granted.
//!
//! From bytes to answers, in the order of the modules: an [`Engine`] for all; bytes
//! are compiled by a child process and cached ([`compile`], [`cache`]); a [`Plugin`] is a component
//! that was looked at (its [`World`]) and asked what it needs (its [`Manifest`]); an `instance`
//! is one store with one guest (`guest`), in which the host's functions (`imports`) and the
//! limits (`cpu`, `memory`) live; a `pool` of them makes a [`PluginExport`], and the exports
//! of one plugin a [`PluginCatalog`].
//!
//! Knows nothing of NBD's wire. Its invariant: after any error out of a guest call the store is
//! dropped and nothing of it is used again.

mod advice;
pub mod cache;
mod carry_out;
mod catalog;
mod clock;
pub mod compile;
mod cpu;
mod engine;
mod export;
mod functions;
mod guest;
mod imports;
mod instance;
mod loaded;
mod log;
mod manifest;
mod memory;
mod names;
mod offer;
mod pool;
mod stop;
mod tunables;
mod turns;
mod waits;
mod wit;
mod world;

pub use catalog::{ExportSpec, FilterSpec, PluginCatalog};
pub use engine::Engine;
pub use export::PluginExport;
pub use loaded::Plugin;
pub use manifest::{BlobNeed, Manifest, Setting, SettingKind};
pub use nbdbox_config::policy::{OnFailure, Policy};
pub use world::World;
