//! The client's side of the protocol, for `nbdbox map`, the tests and the load generator.
//!
//! - [`Negotiation`] goes from the hello to a list of exports or to a [`Connection`];
//! - [`Request`] encodes requests, [`decode`] decodes replies;
//! - [`push_option`], [`info_payload`], [`meta_payload`] and [`OptionReply`] are the pieces that a
//!   [`Negotiation`] is made of, for tests that want to break a rule.
//!
//! It has no I/O either, and doesn't trust its server: every length is checked against a limit or
//! against what was asked before anything is believed or kept. It speaks fixed newstyle with
//! `NBD_OPT_GO` only, in plain text or over TLS, never what the server likes better of the two.

mod negotiation;
mod option;
mod reply;
mod request;

use alloc::string::String;

use thiserror::Error;

pub use self::negotiation::{Connection, Goal, Listed, Negotiation, Progress};
pub use self::option::{OptionReply, hello, info_payload, meta_payload, push_option};
pub use self::reply::{Body, Reply, decode};
pub use self::request::{Request, TooLong, filter_payload};

use crate::wire::{self, option_reply};

/// Why a client gives up: the connection is to be closed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ClientError {
    /// The server broke the protocol, or speaks another one.
    #[error("the server broke the protocol: {0}")]
    Protocol(&'static str),
    /// The server refused an option that was needed.
    #[error(
        "the server refused {}: {}{}{text}",
        refused(*option), refusal_name(*kind), separator(text)
    )]
    Refused {
        /// The option's number.
        option: u32,
        /// The reply type, one of [`option_reply`]'s errors.
        kind: u32,
        /// The server's explanation; may be empty. Not escaped for a terminal.
        text: String,
    },
}

/// What an option was to bring about.
const fn refused(number: u32) -> &'static str {
    match number {
        wire::option::STARTTLS => "TLS",
        wire::option::LIST => "its list",
        _ => "the export",
    }
}

/// The specification's name of an option's error.
const fn refusal_name(kind: u32) -> &'static str {
    match kind {
        option_reply::ERR_UNSUP => "not supported",
        option_reply::ERR_POLICY => "forbidden",
        option_reply::ERR_INVALID => "invalid request",
        option_reply::ERR_PLATFORM => "not supported on its platform",
        option_reply::ERR_TLS_REQD => "TLS required",
        option_reply::ERR_UNKNOWN => "no such export",
        option_reply::ERR_SHUTDOWN => "shutting down",
        option_reply::ERR_BLOCK_SIZE_REQD => "block sizes have to be asked for",
        option_reply::ERR_TOO_BIG => "too big",
        option_reply::ERR_EXT_HEADER_REQD => "extended headers required",
        _ => "unknown error",
    }
}

const fn separator(text: &str) -> &'static str {
    if text.is_empty() { "" } else { ": " }
}
