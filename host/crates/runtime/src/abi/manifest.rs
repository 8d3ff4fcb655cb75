//! What a plugin declares about itself, and the check of the operator's settings and grants against it.

use std::fmt::Write as _;

use anyhow::ensure;
use blob::{Access, Blob};
use nbdbox_config::settings::Settings;
use nbdbox_config::size;

use crate::abi::wit;

/// The most settings, and the most blobs, that a manifest may name. Restrains the plugin.
const ENTRIES: usize = 64;

/// The most bytes of text in a manifest. Restrains the plugin.
const TEXT: usize = 64 << 10;

/// What a plugin declares about itself and its needs. The host reads it once, when it loads the plugin, and bounds its
/// length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// The plugin's name. The log and `inspect` show it in place of the file's.
    pub name: String,
    /// The plugin's version, in any form.
    pub version: String,
    /// A summary of the plugin in one line.
    pub summary: String,
    /// The settings that the operator may give. The host rejects any other.
    pub settings: Vec<Setting>,
    /// The blobs that the operator must grant.
    pub blobs: Vec<BlobNeed>,
}

/// One `KEY=VALUE` setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The setting's key, as the operator writes it.
    pub key: String,
    /// The form of the value.
    pub kind: SettingKind,
    /// Whether the export fails to open without a value for it.
    pub required: bool,
    /// The value if the operator gives none.
    pub default: Option<String>,
    /// A description of the setting in one line.
    pub help: String,
}

/// The form of a setting's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingKind {
    /// Any text.
    Text,
    /// A number of bytes, as [`size::parse`] takes it.
    Size,
    /// A decimal integer from 0 to 2^64 - 1.
    Number,
    /// One of `true`, `yes`, `on`, `1`, `false`, `no`, `off` and `0`, in any case.
    Boolean,
}

/// A blob that the operator must grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobNeed {
    /// The name under which the plugin opens the blob.
    pub name: String,
    /// The least access that the plugin needs.
    pub access: Access,
    /// A description of the blob in one line.
    pub help: String,
}

impl SettingKind {
    /// The kind's name, as in the WIT.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Size => "size",
            Self::Number => "number",
            Self::Boolean => "boolean",
        }
    }

    /// Returns what is wrong with `value`; `None` if it has this kind's form.
    fn complaint(self, value: &str) -> Option<String> {
        match self {
            Self::Text => None,
            Self::Size => size::parse(value).err().map(|error| error.to_string()),
            Self::Number => value
                .parse::<u64>()
                .is_err()
                .then(|| format!("`{value}` isn't a whole number")),
            Self::Boolean => (!BOOLEANS.contains(&value.to_ascii_lowercase().as_str()))
                .then(|| format!("`{value}` is neither true nor false")),
        }
    }
}

/// The key of a setting that stands for every key without a setting of its own.
const ANY_KEY: &str = "*";

const BOOLEANS: [&str; 8] = ["true", "yes", "on", "1", "false", "no", "off", "0"];

impl Manifest {
    /// Makes a manifest of a guest's description, and replaces control characters in it.
    ///
    /// # Errors
    /// It has too many settings or blobs, or too much text.
    pub(crate) fn new(info: wit::PluginInfo) -> anyhow::Result<Self> {
        let manifest = Self {
            name: clean(&info.name),
            version: clean(&info.version),
            summary: clean(&info.summary),
            settings: info.settings.into_iter().map(Setting::from).collect(),
            blobs: info.blobs.into_iter().map(BlobNeed::from).collect(),
        };
        ensure!(
            manifest.settings.len() <= ENTRIES && manifest.blobs.len() <= ENTRIES,
            "its manifest names more than {ENTRIES} settings or blobs"
        );
        ensure!(
            manifest.text_len() <= TEXT,
            "its manifest holds more than {TEXT} bytes of text"
        );
        Ok(manifest)
    }

    fn text_len(&self) -> usize {
        let settings = self.settings.iter().map(|setting| {
            let default = setting.default.as_ref().map_or(0, String::len);
            setting.key.len() + default + setting.help.len()
        });
        let blobs = self
            .blobs
            .iter()
            .map(|blob| blob.name.len() + blob.help.len());
        let own = self.name.len() + self.version.len() + self.summary.len();
        settings.chain(blobs).sum::<usize>() + own
    }

    /// Checks the operator's settings and grants, and adds the default values.
    ///
    /// # Errors
    /// Everything that is wrong, one problem a line.
    pub(crate) fn check(&self, settings: &mut Settings, blobs: &[Blob]) -> anyhow::Result<()> {
        let mut wrong = self.setting_complaints(settings);
        wrong.extend(self.blobs.iter().filter_map(|need| need.complaint(blobs)));
        ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
        for setting in &self.settings {
            if let Some(default) = &setting.default {
                settings.set_default(&setting.key, default);
            }
        }
        Ok(())
    }

    fn setting_complaints(&self, settings: &Settings) -> Vec<String> {
        let mut wrong = Vec::new();
        for (key, value) in settings.iter() {
            match self.setting(key) {
                None => wrong.push(self.unknown_key(key)),
                Some(setting) => wrong.extend(setting.kind.complaint(value).map(|complaint| {
                    if settings.is_secret(key) {
                        format!("{key}: its secret value isn't a {}", setting.kind.name())
                    } else {
                        format!("{key}: {complaint}")
                    }
                })),
            }
        }
        for setting in self.settings.iter().filter(|setting| setting.required) {
            if settings.get(&setting.key).is_none() {
                wrong.push(format!("{}= is missing: {}", setting.key, setting.help));
            }
        }
        wrong
    }

    /// Returns the setting for a key: its own, or else that of `*`.
    fn setting(&self, key: &str) -> Option<&Setting> {
        let called = |name: &str| self.settings.iter().find(|setting| setting.key == name);
        called(key).or_else(|| called(ANY_KEY))
    }

    fn unknown_key(&self, key: &str) -> String {
        let mut text = format!("unknown key `{key}`: ");
        let known: Vec<&str> = self
            .settings
            .iter()
            .map(|setting| setting.key.as_str())
            .collect();
        let written = match known[..] {
            [] => write!(text, "{} takes none", self.name),
            _ => write!(text, "{} knows {}", self.name, known.join(", ")),
        };
        // Writing to a string can't fail.
        debug_assert!(written.is_ok());
        text
    }
}

impl BlobNeed {
    fn complaint(&self, blobs: &[Blob]) -> Option<String> {
        let Self { name, access, help } = self;
        match blobs.iter().find(|blob| blob.name() == name) {
            None => Some(format!(
                "missing grant: it needs the blob `{name}` ({help}); give it with --blob {name}=PATH:{access}"
            )),
            Some(blob) if blob.access() < *access => Some(format!(
                "the grant isn't enough: it needs the blob `{name}` as {access}, and the operator granted {}; write \
                 --blob {name}=PATH:{access}",
                blob.access()
            )),
            Some(_) => None,
        }
    }
}

impl From<wit::Setting> for Setting {
    fn from(setting: wit::Setting) -> Self {
        Self {
            key: clean(&setting.key),
            kind: match setting.kind {
                wit::ValueKind::Text => SettingKind::Text,
                wit::ValueKind::Size => SettingKind::Size,
                wit::ValueKind::Number => SettingKind::Number,
                wit::ValueKind::Boolean => SettingKind::Boolean,
            },
            required: setting.required,
            default: setting.default,
            help: clean(&setting.help),
        }
    }
}

impl From<wit::BlobNeed> for BlobNeed {
    fn from(need: wit::BlobNeed) -> Self {
        Self {
            name: clean(&need.name),
            access: need.access.into(),
            help: clean(&need.help),
        }
    }
}

/// Replaces control characters, because the host writes a guest's text to the operator's terminal.
fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let setting = |key: &str, kind, required, default: Option<&str>| Setting {
            key: key.to_owned(),
            kind,
            required,
            default: default.map(str::to_owned),
            help: "help".to_owned(),
        };
        Manifest {
            name: "disk".to_owned(),
            settings: vec![
                setting("size", SettingKind::Size, true, None),
                setting("count", SettingKind::Number, false, Some("7")),
                setting("fast", SettingKind::Boolean, false, None),
            ],
            ..Manifest::default()
        }
    }

    fn check(words: &[&str]) -> Result<Settings, String> {
        let mut settings = Settings::parse(words).unwrap();
        match manifest().check(&mut settings, &[]) {
            Ok(()) => Ok(settings),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn defaults_are_put_in() {
        let settings = check(&["size=1M", "fast=yes"]).unwrap();
        assert_eq!(settings.get("count"), Some("7"));
        assert_eq!(settings.get("fast"), Some("yes"));
    }

    #[test]
    fn a_star_stands_for_keys_that_arent_listed() {
        let mut manifest = manifest();
        manifest.settings.push(Setting {
            key: "*".to_owned(),
            kind: SettingKind::Number,
            required: false,
            default: None,
            help: "help".to_owned(),
        });
        let check = |words: &[&str]| manifest.check(&mut Settings::parse(words).unwrap(), &[]);
        check(&["size=1M", "other=3"]).unwrap();
        let error = check(&["size=1M", "count=x", "other=y"]).unwrap_err();
        assert_eq!(error.to_string().lines().count(), 2, "{error}");
    }

    #[test]
    fn all_errors_come_at_once_and_quote_the_word() {
        let error = check(&["sise=1M", "count=x", "fast=maybe"]).unwrap_err();
        let lines: Vec<_> = error.lines().collect();
        assert_eq!(lines.len(), 4, "{error}");
        assert!(lines[0].contains("unknown key `sise`: disk knows size, count, fast"));
        assert!(lines[1].contains("count: `x`"));
        assert!(lines[2].contains("fast: `maybe`"));
        assert!(lines[3].contains("size= is missing"));
    }

    #[test]
    fn a_missing_grant_is_named() {
        let mut manifest = manifest();
        manifest.settings.clear();
        manifest.blobs.push(BlobNeed {
            name: "disk".to_owned(),
            access: Access::ReadOnly,
            help: "the image".to_owned(),
        });
        let error = manifest
            .check(&mut Settings::default(), &[])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("missing grant") && error.contains("--blob disk=PATH:ro"),
            "{error}"
        );
    }
}
