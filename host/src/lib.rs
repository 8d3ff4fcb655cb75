//! nbdbox: an NBD server whose every plugin is an untrusted WebAssembly component.
//!
//! The way of a request, and of reading this crate:
//!
//! ```text
//! socket → connection → session → Request ─→ dispatch ─→ plugin call (wasm) ─┐
//!                                               │                            ├ extent map / read reply,
//!                                               │                            │ bounded by the host
//! socket ← one vectored write ← encode ← Reply ←┘←───── host moves the bytes ┘
//! ```
//!
//! Modules use only what stands below them; `tests/tests/layering.rs` holds that:
//!
//! ```text
//! 5  cli                               process edge
//! 4  server, connection, tls, client,  sockets, shutdown; many tenants' exports;
//!    admin, hosting                    what an operator sees
//! 3  dispatch, session | plugin, blob  data path | wasm and what it is granted: they don't know
//!                                      each other, `server` and `cli` introduce them
//! 2  device, layer, mapping,           the contract between the two, pure
//!    reply, quota
//! 1  fault, identity, metrics, map               pure
//! 0  nbd-proto, extent-map,            crates of their own
//!    nbdbox-config
//! ```

pub mod cli;

pub mod admin;
pub mod hosting;

pub mod conformance;

pub mod map;
