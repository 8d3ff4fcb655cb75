//! The client's side of the protocol, for `nbdbox map`, the tests and the load generator.
//!
//! - [`Negotiation`] goes from the hello to a list of exports or to a [`Connection`];
//! - [`Request`] encodes requests, [`decode`] decodes replies;
//! - [`push_option`], [`info_payload`], [`meta_payload`] and [`OptionReply`] are the parts of a
//!   [`Negotiation`], for tests that break a rule.
//!
//! The client has no I/O either, and it doesn't trust its server: it checks every length against a limit
//! or against its request before it uses or keeps anything. It supports only fixed newstyle with
//! `NBD_OPT_GO`. The caller decides between plain text and TLS; the server can't change that.

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

/// Why a client gives up. The caller must close the connection.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ClientError {
    /// The server broke the protocol, or isn't an NBD server. The text says how.
    #[error("the server broke the protocol: {0}")]
    Protocol(&'static str),
    /// The server refused an option that the client can't do without.
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

/// What a client requests with an option.
const fn refused(number: u32) -> &'static str {
    match number {
        wire::option::STARTTLS => "TLS",
        wire::option::LIST => "the list of exports",
        _ => "the export",
    }
}

/// The meaning of an option's error.
const fn refusal_name(kind: u32) -> &'static str {
    match kind {
        option_reply::ERR_UNSUP => "not supported",
        option_reply::ERR_POLICY => "forbidden",
        option_reply::ERR_INVALID => "invalid request",
        option_reply::ERR_PLATFORM => "not supported on its platform",
        option_reply::ERR_TLS_REQD => "TLS required",
        option_reply::ERR_UNKNOWN => "no such export",
        option_reply::ERR_SHUTDOWN => "shutting down",
        option_reply::ERR_BLOCK_SIZE_REQD => "the client must request the block sizes",
        option_reply::ERR_TOO_BIG => "too big",
        option_reply::ERR_EXT_HEADER_REQD => "extended headers required",
        _ => "unknown error",
    }
}

const fn separator(text: &str) -> &'static str {
    if text.is_empty() { "" } else { ": " }
}
