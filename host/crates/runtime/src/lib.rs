//! Plugins and filters: untrusted WebAssembly components, which run within their grants and limits.
//!
//! The modules, in the order of a plugin's life:
//!
//! - `abi` reads what a plugin's bytes declare: its [`World`] and its [`Manifest`].
//! - `component` compiles bytes in a child process ([`compile`]) and keeps the code ([`cache`]).
//! - `meter` bounds what a call of a guest may use.
//! - `instance` has one store with one guest, and the host functions for it.
//! - `loaded` has the process's [`Engine`], and each [`Plugin`] that is ready to make instances.
//! - `export` lends instances to calls: a [`PluginLayer`] serves a plugin, a [`PluginExport`] is a stack of layers, and
//!   a [`PluginCatalog`] has the exports of one plugin.
//! - `mapping` remembers where the bytes of an immutable export are, `next` is the layer below a filter, and `storage`
//!   waits for blobs.
//!
//! The crate doesn't know NBD's wire. Its invariant: after any error out of a guest call the host drops the store and
//! uses nothing of it again.

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
