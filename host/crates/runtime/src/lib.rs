//! Plugins: untrusted WebAssembly components, run within what they were granted.
//!
//! From bytes to answers, in the order of the modules: an [`Engine`] for all; bytes
//! are compiled by a child process and cached ([`compile`], [`cache`]); a [`Plugin`] is a component
//! that was looked at (its [`World`]) and asked what it needs (its [`Manifest`]); an `instance`
//! is one store with one guest (`guest`), in which the host's functions (`imports`) and the
//! limits (`cpu`, `memory`) live; a `pool` of them makes a [`PluginLayer`], layers on one another a
//! [`PluginExport`], and the exports of one plugin a [`PluginCatalog`].
//!
//! Knows nothing of NBD's wire. Its invariant: after any error out of a guest call the store is
//! dropped and nothing of it is used again.

mod abi;
mod component;
mod export;
mod instance;
mod loaded;
mod mapping;
mod meter;
mod next;
mod storage;

pub use abi::interfaces::{INTERFACES, Interface, Interfaces};
pub use abi::manifest::{BlobNeed, Manifest, Setting, SettingKind};
pub use abi::world::World;
pub use component::{cache, compile};
pub use export::PluginLayer;
pub use export::catalog::PluginCatalog;
pub use export::spec::{ExportSpec, FilterKind, FilterSpec, PluginFilter};
pub use export::stack::PluginExport;
pub use loaded::engine::Engine;
pub use loaded::examined::Examined;
pub use loaded::plugin::Plugin;
pub use nbdbox_config::policy::Policy;
