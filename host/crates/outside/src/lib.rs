//! What a process gets of its machine by name.
//!
//! A server that runs plugins may stand behind walls that keep it from every path (crate `sandbox`). Then a second
//! process, its keeper, does what needs a name: it opens files, looks at them, and hands the descriptors over. A process
//! without walls does the same by itself. The functions of [`files`] hide the difference: they ask the keeper once
//! [`Keeper::introduce`] was called, and act themselves before.
//!
//! | side | has |
//! |---|---|
//! | the server's | [`files`], [`Keeper`]: sends an [`Request`], waits for the [`Told`] |
//! | the keeper's | [`Rights`]: what the operator's own words allow; [`Rights::perform`] checks an ask and does it |
//! | both | [`Link`]: messages and descriptors over a socket pair |
//!
//! The keeper trusts nothing that it's told: an ask names a path and what is to be done with it, and both have to be
//! among the rights that the keeper derived from the operator's words itself.

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
