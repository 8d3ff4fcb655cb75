//! A plugin's description of itself: its name, its settings, and the blobs that it needs.

pub use crate::bindings::imports::blobs::Access;
pub use crate::bindings::manifest::interface::ValueKind;
use crate::bindings::manifest::interface::{BlobNeed, PluginInfo, Setting};

/// Builds a plugin's description. See [`Plugin::manifest`](crate::Plugin::manifest).
#[derive(Debug)]
pub struct Manifest(PluginInfo);

impl Manifest {
    /// Starts with the plugin's name, its version, and what it does in one line.
    pub fn new(name: &str, version: &str, summary: &str) -> Self {
        Self(PluginInfo {
            name: name.to_owned(),
            version: version.to_owned(),
            summary: summary.to_owned(),
            settings: Vec::new(),
            blobs: Vec::new(),
        })
    }

    /// Adds a setting that the operator must give.
    pub fn required(mut self, key: &str, kind: ValueKind, help: &str) -> Self {
        self.0.settings.push(setting(key, kind, true, None, help));
        self
    }

    /// Adds a setting with a default.
    pub fn default(mut self, key: &str, kind: ValueKind, default: &str, help: &str) -> Self {
        let default = Some(default.to_owned());
        self.0
            .settings
            .push(setting(key, kind, false, default, help));
        self
    }

    /// Adds a setting that the operator may leave out.
    pub fn optional(mut self, key: &str, kind: ValueKind, help: &str) -> Self {
        self.0.settings.push(setting(key, kind, false, None, help));
        self
    }

    /// Adds a blob that the operator must grant, with at least this access.
    pub fn blob(mut self, name: &str, access: Access, help: &str) -> Self {
        self.0.blobs.push(BlobNeed {
            name: name.to_owned(),
            access,
            help: help.to_owned(),
        });
        self
    }

    pub(crate) fn into_info(self) -> PluginInfo {
        self.0
    }
}

fn setting(
    key: &str,
    kind: ValueKind,
    required: bool,
    default: Option<String>,
    help: &str,
) -> Setting {
    Setting {
        key: key.to_owned(),
        kind,
        required,
        default,
        help: help.to_owned(),
    }
}
