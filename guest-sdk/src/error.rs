//! The error of a plugin's call: an errno for the wire, words for people.

use std::fmt;

use crate::bindings::imports::host;
pub use crate::bindings::imports::types::Errno;

/// Why a call failed.
///
/// The errno reaches the NBD client, and so does the text where the client takes structured replies. The
/// operator's log has it at level `debug`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    errno: Errno,
    text: String,
}

/// What plugin calls return.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error with words. Clients see the words: no secrets.
    pub fn new(errno: Errno, text: impl Into<String>) -> Self {
        Self {
            errno,
            text: text.into(),
        }
    }

    /// `EINVAL`: the request or the configuration makes no sense.
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

    /// Hands the words to the host and leaves the errno to be returned.
    pub(crate) fn report(self) -> Errno {
        if !self.text.is_empty() {
            host::explain(&self.text);
        }
        self.errno
    }
}

impl From<Errno> for Error {
    /// An errno without words, as the host's own functions return it.
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
