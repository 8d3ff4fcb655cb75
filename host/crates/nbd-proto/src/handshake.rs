//! The server's side of the handshake (sections "Fixed newstyle negotiation" and "Option types").

use crate::{Export, Session};

/// What the operator allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// TLS.
    pub tls: TlsMode,
}

/// Section "TLS support": "There are three modes of operation for a server."
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsMode {
    /// NOTLS.
    #[default]
    Off,
    /// SELECTIVETLS: the shell says of each export whether it needs TLS.
    Offer,
    /// FORCEDTLS.
    Require,
}

/// What [`Handshake::advance`] came upon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// More input is needed.
    NeedMore,
    /// Which exports are there? Answer [`Handshake::list`] or a refusal.
    List,
    /// What is this export? Answer [`Handshake::found`] or a refusal.
    Find(Lookup),
    /// Send the output, drop all unread plaintext, do the TLS handshake, then call
    /// [`Handshake::tls_established`].
    StartTls,
    /// The transmission phase begins: send the output; what `advance` didn't consume are requests.
    Ready(Box<Session>),
    /// Send the output and close.
    Close,
}

/// A question for the shell: an export by the name that the client gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// The name; empty for the default export. At most 4096 bytes, without NUL.
    pub name: String,
    /// What for.
    pub purpose: Purpose,
}

/// What an export is looked up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// EXPORT_NAME: enters the transmission phase; any refusal closes.
    ExportName,
    /// INFO: only describes.
    Info,
    /// GO: enters the transmission phase.
    Go,
    /// LIST_META_CONTEXT or SET_META_CONTEXT: only [`Export::allocation`] matters.
    Meta,
}

/// The server's side of the handshake.
#[derive(Clone, Debug)]
pub struct Handshake {}

impl Handshake {
    /// A new connection; the hello is queued.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        let _ = policy;
        todo!()
    }

    /// Goes on with what the client sent; returns how many bytes were consumed.
    pub fn advance(&mut self, input: &[u8]) -> (usize, Event) {
        let _ = input;
        todo!()
    }

    /// Takes the bytes to send.
    #[must_use]
    pub fn take_output(&mut self) -> Vec<u8> {
        todo!()
    }

    /// Answers [`Event::List`] with (name, description) pairs.
    pub fn list<'a>(&mut self, exports: impl IntoIterator<Item = (&'a str, Option<&'a str>)>) {
        let _ = exports;
        todo!()
    }

    /// Answers [`Event::Find`]: here it is.
    pub fn found(&mut self, export: &Export) {
        let _ = export;
        todo!()
    }

    /// Answers [`Event::Find`]: there is no such export.
    pub fn unknown(&mut self) {
        todo!()
    }

    /// Answers [`Event::Find`] or [`Event::List`]: the operator forbids it.
    pub fn denied(&mut self, text: &str) {
        let _ = text;
        todo!()
    }

    /// Answers [`Event::Find`]: this export is only there over TLS.
    pub fn tls_required(&mut self) {
        todo!()
    }

    /// Answers the open question, if any, and every option from now on with `NBD_REP_ERR_SHUTDOWN`.
    pub fn shutting_down(&mut self) {
        todo!()
    }

    /// TLS is up, after [`Event::StartTls`].
    pub fn tls_established(&mut self) {
        todo!()
    }
}
