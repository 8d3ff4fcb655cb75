//! The NBD protocol without I/O: bytes in, events and bytes out.
//!
//! This crate owns the format of all messages and every rule of the NBD specification (`doc/proto.md`
//! of the NetworkBlockDevice project, and its branch `extension-ext-header`) that can be checked by
//! looking at bytes. It has no socket, no clock and no task, and it doesn't know what an export is made
//! of. The *shell*, which is the code of the caller, moves the bytes and answers the events. The crate is
//! `no_std`, so code that uses a socket or a clock doesn't compile.
//!
//! Its invariant: whatever the peer sends, nothing here panics, memory stays within the bounds of
//! [`limits`], and both sides agree where each message begins. If a message doesn't allow that, the
//! connection must close.
//!
//! The life of a connection, as a server's shell sees it:
//!
//! 1. [`Handshake::new`] queues the hello. The shell passes bytes to [`Handshake::advance`], sends
//!    [`Handshake::take_output`], and answers the events: with the list of exports
//!    ([`Handshake::list`]), or with the export that has a name ([`Handshake::found`]).
//! 2. [`Event::Ready`] returns a [`Session`]: the agreements of the handshake, and the export.
//! 3. [`Session::parse`] turns bytes into an [`Incoming`] request. It checks range, flags, size and
//!    read-only once, so no later code checks the [`Command`] again.
//! 4. [`reply`] encodes replies from the request's [`Head`], in any of the three [`Framing`]s.
//!
//! [`client`] is the client's side, for `nbdbox map`, the tests and the load generator. It trusts its
//! server no more than the server trusts its client.
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
