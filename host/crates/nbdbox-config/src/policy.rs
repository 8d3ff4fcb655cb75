//! What the operator decided about how an export behaves, and misbehaves.

use schemars::JsonSchema;
use serde::Deserialize;

/// How an export behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Serve read-only, whatever the plugin can.
    pub read_only: bool,
    /// The data never changes, whatever the plugin says. Includes `read_only`.
    pub immutable: bool,
    /// What to do when the plugin can't say its extents.
    pub extents_on_error: ExtentsOnError,
    /// What to do when an instance is lost.
    pub on_failure: OnFailure,
}

/// What to do when a device can't say its extents (E11).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ExtentsOnError {
    /// Answer data for the whole request: extents are an optimisation.
    #[default]
    Data,
    /// Pass the error on.
    Error,
}

/// What becomes of an export whose plugin had to be stopped, or crashed.
///
/// Whatever is said here: a writable export in mode `single` fails for good, since the instance's
/// memory was the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// A fresh instance serves the next request, after a pause that doubles with each crash in a
    /// row, from 10 ms to 10 s. Requests that come during the pause fail at once.
    #[default]
    Restart,
    /// Every further request fails, until the server is started again.
    Fail,
}
