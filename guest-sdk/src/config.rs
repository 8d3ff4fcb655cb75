//! The export's settings: the operator's `KEY=VALUE` words.
//!
//! Ask for them in [`Plugin::open`](crate::Plugin::open). What the manifest declares is checked by
//! the host before that, so that a missing or malformed setting never starts the plugin.

use crate::bindings::imports::config;
use crate::{Error, Result};

/// The text of `key`: as given, or the manifest's default.
pub fn text(key: &str) -> Option<String> {
    config::get(key)
}

/// The text of `key`, or an error that names it.
pub fn required_text(key: &str) -> Result<String> {
    text(key).ok_or_else(|| missing(key))
}

/// A number of bytes, as in `size=64M`.
pub fn size(key: &str) -> Result<Option<u64>> {
    config::get_size(key).map_err(Error::invalid)
}

/// A number of bytes, or an error that names the key.
pub fn required_size(key: &str) -> Result<u64> {
    size(key)?.ok_or_else(|| missing(key))
}

/// A decimal integer.
pub fn number(key: &str) -> Result<Option<u64>> {
    text(key)
        .map(|value| {
            value
                .parse()
                .map_err(|_| Error::invalid(format!("{key}={value}: not a number")))
        })
        .transpose()
}

/// All settings: those that were given, in the operator's order, then the manifest's defaults.
pub fn all() -> Vec<(String, String)> {
    config::all()
}

fn missing(key: &str) -> Error {
    Error::invalid(format!("{key}= is required"))
}
