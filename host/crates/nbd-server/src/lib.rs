//! The wire's side of a server: who comes in ([`Listener`], [`Server`]), by which certificate ([`Tls`]), and how one
//! client is served ([`serve`]).
//!
//! `connection` owns a socket and its buffers, and its gate says how much of its work may be under way. `dispatch`
//! hands each request to a [`device::Device`] and encodes what it answers. Nothing here knows what a device is made
//! of: no wasm, no files of exports.

mod connection;
mod dispatch;
mod occasion;
mod server;
mod tasks;
mod tls;

pub use connection::{End, STRANGERS, StopSignal, serve};
pub use server::{
    AcceptFailure, Address, Inherited, Listener, OnlyClient, OpenSocket, Server, ServerMetrics,
    Stream, Welcome, address_of, serve_stream, socket_of,
};
pub use tasks::Tasks;
pub use tls::Tls;
