//! The server's side of the wire: [`Listener`] and [`Server`] accept clients, [`Tls`] checks their certificates, and
//! [`serve`] serves one client.
//!
//! `connection` owns a socket and its buffers; its gate decides how many requests may be under way. `dispatch` passes
//! each request to a [`device::Device`] and encodes the answer. This crate doesn't know what a device is made of: it
//! has no wasm, and no files of exports.

mod connection;
mod dispatch;
mod occasion;
mod server;
mod tasks;
mod tls;

pub use connection::{End, Pollers, STRANGERS, StopSignal, serve};
pub use server::{
    AcceptFailure, Address, Inherited, Listener, OnlyClient, OpenSocket, Server, ServerMetrics,
    Stream, Welcome, address_of, serve_stream, socket_of,
};
pub use tasks::Tasks;
pub use tls::Tls;
