//! The errors of image formats.

use std::fmt;

/// The result of reading an image.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a plugin can't serve an image, with a message for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The image breaks the format.
    Malformed(String),
    /// The image needs a feature that the plugin doesn't support.
    Unsupported(String),
    /// The file couldn't be read.
    Unreadable(String),
}

impl Error {
    /// The image breaks the format.
    pub fn malformed(text: impl Into<String>) -> Self {
        Self::Malformed(text.into())
    }

    /// The image needs a feature that the plugin doesn't support.
    pub fn unsupported(text: impl Into<String>) -> Self {
        Self::Unsupported(text.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(text) => write!(f, "malformed image: {text}"),
            Self::Unsupported(text) => write!(f, "unsupported image: {text}"),
            Self::Unreadable(text) => write!(f, "the image can't be read: {text}"),
        }
    }
}

impl std::error::Error for Error {}
