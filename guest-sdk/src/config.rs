//! The export's settings: the operator's `KEY=VALUE` words.
//!
//! Read them in [`Plugin::open`](crate::Plugin::open). The host has checked them against the manifest before, so
//! `open` never runs with a missing or malformed setting.

use crate::bindings::imports::config;
use crate::{Error, Result};

/// Returns the text of `key`: the operator's, or else the manifest's default.
pub fn text(key: &str) -> Option<String> {
    config::get(key)
}

/// Returns the text of `key`, or an error that names the key.
pub fn required_text(key: &str) -> Result<String> {
    text(key).ok_or_else(|| missing(key))
}

/// Returns `key` as a number of bytes, as in `size=64M`; an error if it is not a size.
pub fn size(key: &str) -> Result<Option<u64>> {
    config::get_size(key).map_err(Error::invalid)
}

/// Returns `key` as a number of bytes, or an error that names the key.
pub fn required_size(key: &str) -> Result<u64> {
    size(key)?.ok_or_else(|| missing(key))
}

/// Returns `key` as a decimal integer; an error if it is not a number.
pub fn number(key: &str) -> Result<Option<u64>> {
    text(key)
        .map(|value| {
            value
                .parse()
                .map_err(|_| Error::invalid(format!("{key}={value}: not a whole number")))
        })
        .transpose()
}

/// Returns all settings: those that the operator gave, in their order, then the manifest's defaults.
pub fn all() -> Vec<(String, String)> {
    config::all()
}

fn missing(key: &str) -> Error {
    Error::invalid(format!("{key}= is required: give it a value"))
}
