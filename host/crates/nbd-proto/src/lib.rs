//! The NBD protocol without I/O: bytes in, events and bytes out.
//!
//! This crate owns what is said on the wire and every rule of the NBD specification (`doc/proto.md`
//! of the NetworkBlockDevice project, and its branch `extension-ext-header`) that can be checked by
//! looking at bytes. It deliberately has no socket, no clock, no task and no idea of what stands
//! behind an export: a shell moves the bytes and answers the questions. It is `no_std`, so that a use
//! of a socket or a clock doesn't compile. Its invariant: whatever the peer sends, nothing here panics,
//! memory stays under the bounds of [`limits`], and the two sides never lose step with each other — a
//! stream that can't be followed any more is closed.
//!
//! The life of a connection, seen by a server:
//!
//! 1. [`Handshake::new`] queues the hello. The shell feeds bytes to [`Handshake::advance`], sends
//!    [`Handshake::take_output`], and answers the events: which exports are there
//!    ([`Handshake::list`]), what is the one called so ([`Handshake::found`]).
//! 2. [`Event::Ready`] hands out a [`Session`]: what was agreed, and the export.
//! 3. [`Session::parse`] turns bytes into an [`Incoming`] request in which everything is checked
//!    once: ranges, flags, sizes, read-only. Its [`Command`] can be trusted from then on.
//! 4. [`reply`] encodes the answers, in any of the three [`Framing`]s, from the request's [`Head`].
//!
//! [`client`] is the other end of the same conversation, for `nbdbox map`, the tests and the load
//! generator. It trusts its server no more than the server trusts its client.
#![no_std]
#![forbid(unsafe_code)]
#![warn(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

extern crate alloc;

mod bytes;
pub mod client;
mod errno;
mod export;
mod handshake;
pub mod limits;
pub mod reply;
mod request;
mod session;
mod text;
pub mod wire;

pub use errno::Errno;
pub use export::{BlockSizes, BlockSizesError, Export};
pub use handshake::{Event, Handshake, Lookup, Offers, Policy, Purpose, TlsMode};
pub use reply::{Descriptor, EncodeError};
pub use request::{Broken, Command, Head, Incoming, Parsed, Refusal, WriteFlags};
pub use session::{ContextId, Cookie, Framing, Session};
pub use wire::{CommandFlags, ExportFlags, HandshakeFlags, StateFlags};
