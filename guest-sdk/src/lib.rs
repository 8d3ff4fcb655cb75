//! The Rust kit for nbdbox plugins. A plugin is a block device in a sandbox: a WebAssembly component that can answer
//! requests, and nothing else.
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
//! In `Cargo.toml`, set `crate-type = ["cdylib"]`. Then build the plugin and serve it:
//!
//! ```text
//! $ cargo build --release --target wasm32-unknown-unknown
//! $ nbdbox serve target/wasm32-unknown-unknown/release/counter.wasm size=1G --run 'nbdinfo "$uri"'
//! ```
//!
//! | To | Implement or use |
//! |---|---|
//! | serve reads | [`Plugin`], the one required trait |
//! | let clients write, trim and zero | [`Writable`], [`Zeroable`] |
//! | report holes | [`Sparse`] |
//! | let the host serve repeated reads | [`Mappable`] |
//! | read ahead | [`Prefetch`] |
//! | serve several exports | [`ExportList`] |
//! | stand over another layer | [`Filter`], and [`next`] for the layer below |
//! | reach the operator's files | [`Blob`], by the granted name |
//!
//! Name the optional traits in [`export!`]; the host derives the NBD flags from them. Serve files *by reference* where
//! you can ([`ReadReply::blob`]): then their bytes never enter the sandbox.

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

/// Compiles the plugin in the README.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// Compiles the examples in the manual.
#[cfg(doctest)]
#[doc = include_str!("../MANUAL.md")]
struct Manual;
