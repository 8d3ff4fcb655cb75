//! The error of a plugin's call: an errno for the protocol, and a text for people.

use std::fmt;

use crate::bindings::imports::host;
pub use crate::bindings::imports::types::Errno;

/// Why a call failed.
///
/// The client gets the errno, and the text too if it takes structured replies. The host logs both at level `debug`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    errno: Errno,
    text: String,
}

/// The result of a plugin's call.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error with a text. Clients see the text, so put no secrets in it.
    pub fn new(errno: Errno, text: impl Into<String>) -> Self {
        Self {
            errno,
            text: text.into(),
        }
    }

    /// `EINVAL`: the request or a setting is invalid.
    pub fn invalid(text: impl Into<String>) -> Self {
        Self::new(Errno::Einval, text)
    }

    /// `EIO`: the data could not be read or written.
    pub fn io(text: impl Into<String>) -> Self {
        Self::new(Errno::Eio, text)
    }

    /// The errno that the client gets.
    pub fn errno(&self) -> Errno {
        self.errno
    }

    /// Passes the text to the host, and returns the errno for the caller to return.
    pub(crate) fn report(self) -> Errno {
        if !self.text.is_empty() {
            host::explain(&self.text);
        }
        self.errno
    }
}

impl From<Errno> for Error {
    /// An errno without a text of its own. The host keeps the text of its own functions' errors.
    fn from(errno: Errno) -> Self {
        Self::new(errno, "")
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.text.as_str() {
            "" => write!(f, "{:?}", self.errno),
            text => f.write_str(text),
        }
    }
}

impl std::error::Error for Error {}
