//! An export's settings: the operator's `KEY=VALUE` words, in order, each key once.

use std::collections::HashSet;
use std::fmt;

use thiserror::Error;

/// A mistake in a `KEY=VALUE` word.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SettingError {
    /// The word has no `=`, or nothing before it.
    #[error("`{0}` isn't KEY=VALUE")]
    Syntax(String),
    /// The key is given twice.
    #[error("`{0}=` is given twice")]
    Twice(String),
}

/// `KEY=VALUE` pairs. Their `Debug` hides the values.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Settings(Vec<Pair>);

#[derive(Clone, PartialEq, Eq)]
struct Pair {
    key: String,
    value: String,
    /// Whether the value must never be shown.
    secret: bool,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.0.iter().map(|pair| &pair.key))
            .finish()
    }
}

impl Settings {
    /// Splits each word at its first `=`.
    ///
    /// # Errors
    /// The word that has another form, or the key that is given twice.
    pub fn parse<S: AsRef<str>>(words: &[S]) -> Result<Self, SettingError> {
        let mut keys = HashSet::new();
        let mut settings = Self::default();
        for word in words.iter().map(AsRef::as_ref) {
            let (key, value) = word
                .split_once('=')
                .filter(|(key, _)| !key.is_empty())
                .ok_or_else(|| SettingError::Syntax(word.to_owned()))?;
            if !keys.insert(key.to_owned()) {
                return Err(SettingError::Twice(key.to_owned()));
            }
            settings.add(key, value, false);
        }
        Ok(settings)
    }

    /// The value of `key`, if it's set.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter()
            .find(|(name, _)| *name == key)
            .map(|(_, value)| value)
    }

    /// All pairs, in the operator's order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|pair| (pair.key.as_str(), pair.value.as_str()))
    }

    /// Adds `key` unless it's set.
    pub fn set_default(&mut self, key: &str, value: &str) {
        if self.get(key).is_none() {
            self.add(key, value, false);
        }
    }

    /// Adds `key`, which must not be set yet. The value of a secret is never shown.
    pub fn add(&mut self, key: &str, value: &str, secret: bool) {
        self.0.push(Pair {
            key: key.to_owned(),
            value: value.to_owned(),
            secret,
        });
    }

    /// Whether the value of `key` must never be shown.
    #[must_use]
    pub fn is_secret(&self, key: &str) -> bool {
        self.0.iter().any(|pair| pair.key == key && pair.secret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_may_hold_anything() {
        let settings = Settings::parse(&["a=b=c", "empty="]).unwrap();
        assert_eq!(settings.get("a"), Some("b=c"));
        assert_eq!(settings.get("empty"), Some(""));
        assert_eq!(settings.get("b"), None);
    }

    #[test]
    fn values_arent_shown() {
        let mut settings = Settings::parse(&["size=1M"]).unwrap();
        settings.add("password", "hunter2", true);
        assert_eq!(format!("{settings:?}"), r#"{"size", "password"}"#);
        assert!(settings.is_secret("password") && !settings.is_secret("size"));
    }

    #[test]
    fn words_without_a_key_and_double_keys_are_refused() {
        assert_eq!(
            Settings::parse(&["size"]),
            Err(SettingError::Syntax("size".into()))
        );
        assert_eq!(
            Settings::parse(&["=1"]),
            Err(SettingError::Syntax("=1".into()))
        );
        assert_eq!(
            Settings::parse(&["a=1", "a=2"]),
            Err(SettingError::Twice("a".into()))
        );
    }
}
