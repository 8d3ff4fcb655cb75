//! The operator's choices for an export's behaviour and failures.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How an export behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Serve read-only, even if the plugin can write.
    pub read_only: bool,
    /// The data never changes, even if the plugin doesn't declare it so. Includes `read_only`.
    pub immutable: bool,
    /// What to do if the plugin fails to report extents.
    pub extents_on_error: ExtentsOnError,
    /// What to do when an instance is lost.
    pub on_failure: OnFailure,
}

/// What to do if a device fails to report extents (E11).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ExtentsOnError {
    /// Report data for the whole request, which is always a safe answer.
    #[default]
    Data,
    /// Return the error.
    Error,
}

/// What happens to an export after its plugin crashed or was stopped.
///
/// Regardless of this choice, a writable export in mode `single` fails for good, since the instance's
/// memory was the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// A fresh instance serves the next request, after a pause that doubles with each crash in a
    /// row, from 10 ms to 10 s. Requests wait for the pause to end, up to their `wall`.
    #[default]
    Restart,
    /// Every later request fails, until the server restarts.
    Fail,
}
