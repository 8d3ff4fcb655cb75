//! Files, folders and sockets by name.
//!
//! A server that runs plugins may stand behind walls that deny it every path (crate `sandbox`). A second process, its
//! keeper, then does everything that needs a name: it opens files, looks at them, and sends the descriptors to the
//! server. A process without walls does the same by itself. The functions of [`files`] hide the difference: after
//! [`Keeper::introduce`] they send requests to the keeper; without a keeper they act themselves.
//!
//! | side | has |
//! |---|---|
//! | server | [`files`]; [`Keeper`], which sends a [`Request`] and waits for the [`Answer`] |
//! | keeper | [`Rights`]: what command line and configuration allow a server; [`Rights::perform`] does a request |
//! | both | [`Link`]: messages and descriptors over a socket pair |
//!
//! The keeper trusts no message of a server. A request names a path and an operation, and the keeper does it only if
//! the server's rights have both.

#![forbid(unsafe_code)]

pub mod files;
mod here;
mod keeper;
mod link;
mod lock_holders;
mod message;
mod rights;

pub use self::here::{Entry, EntryKind, Seen};
pub use self::keeper::{Call, Keeper, Reply};
pub use self::link::Link;
pub use self::message::{
    Answer, Failure, Note, Passed, Place, Request, Socket, Stage, Told, fitting,
};
pub use self::rights::{Right, Rights};
