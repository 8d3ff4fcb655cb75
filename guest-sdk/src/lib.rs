//! Write a block device in an afternoon, and let anybody run it: a plugin for
//! nbdbox is a WebAssembly component that can do nothing but
//! answer requests.
//!
//! A complete plugin, a disk on which every byte is its offset modulo 251:
//!
//! ```
//! use nbdbox_plugin::{Device, Manifest, Plugin, ReadReply, Result, ValueKind, config};
//!
//! struct Counter {
//!     size: u64,
//! }
//!
//! impl Plugin for Counter {
//!     fn manifest() -> Manifest {
//!         Manifest::new("counter", "1.0.0", "every byte is its offset modulo 251").default(
//!             "size",
//!             ValueKind::Size,
//!             "1M",
//!             "size of the disk",
//!         )
//!     }
//!
//!     fn open(_name: &str) -> Result<Self> {
//!         Ok(Self {
//!             size: config::required_size("size")?,
//!         })
//!     }
//!
//!     fn describe(&self) -> Device {
//!         Device::new(self.size).parallel().immutable()
//!     }
//!
//!     fn read(&mut self, reply: &ReadReply, offset: u64, length: u32) -> Result<()> {
//!         let bytes: Vec<u8> = (offset..)
//!             .take(length as usize)
//!             .map(|at| (at % 251) as u8)
//!             .collect();
//!         reply.data(&bytes);
//!         Ok(())
//!     }
//! }
//!
//! nbdbox_plugin::export!(Counter);
//! # fn main() {}
//! ```
//!
//! `Cargo.toml` says `crate-type = ["cdylib"]`; build it and serve it:
//!
//! ```text
//! $ cargo build --release --target wasm32-unknown-unknown
//! $ nbdbox serve target/wasm32-unknown-unknown/release/counter.wasm size=1G --run 'nbdinfo "$uri"'
//! ```
//!
//! [`Plugin`] is the one trait that must be implemented. [`Writable`], [`Zeroable`], [`Sparse`],
//! [`Mappable`], [`Prefetch`] and [`ExportList`] are what else a disk can do; name those that yours implements in
//! [`export!`] and the export's NBD flags follow. Files of the operator are reached through
//! [`Blob`], by the name under which they were granted, best *by reference*
//! ([`ReadReply::blob`]): then their bytes never enter the sandbox.
//!
//! A [`Filter`] is a plugin that stands on another layer, which it asks through [`next`].

pub mod adapter;
#[doc(hidden)]
pub mod bindings;
pub mod config;
mod error;
mod export;
mod manifest;
pub mod next;
mod plugin;
mod window;

pub use bindings::imports::blobs::Blob;
pub use bindings::imports::host::{Level, explain, log, monotonic_ms, wall_ms};
pub use bindings::imports::requests::{Extents, ReadReply, WritePayload};
pub use bindings::imports::types::{Extent, ExtentKind, Progress, WriteFlags};
pub use bindings::mappable::mappings::Mapping;
pub use error::{Errno, Error, Result};
pub use manifest::{Access, Manifest, ValueKind};
pub use plugin::{
    BlockSizes, Device, ExportList, Filter, InstanceMode, ListedExport, Mappable, Plugin, Prefetch,
    Sparse, Writable, Zeroable,
};
pub use window::Window;

/// The plugin in the README is compiled too.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// And those in the manual.
#[cfg(doctest)]
#[doc = include_str!("../MANUAL.md")]
struct Manual;
