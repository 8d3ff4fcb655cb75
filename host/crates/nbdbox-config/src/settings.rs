//! An export's settings: the operator's `KEY=VALUE` words, in order, each key once.

use std::collections::HashSet;

use thiserror::Error;

/// What is wrong with a `KEY=VALUE` word.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SettingError {
    /// No `=`, or nothing before it.
    #[error("`{0}` isn't KEY=VALUE")]
    Syntax(String),
    /// Given twice.
    #[error("`{0}=` is given twice")]
    Twice(String),
}

/// `KEY=VALUE` pairs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings(Vec<(String, String)>);

impl Settings {
    /// Splits words at their first `=`.
    ///
    /// # Errors
    /// Quotes the word.
    pub fn parse<S: AsRef<str>>(words: &[S]) -> Result<Self, SettingError> {
        let mut keys = HashSet::new();
        let mut pairs = Vec::with_capacity(words.len());
        for word in words.iter().map(AsRef::as_ref) {
            let (key, value) = word
                .split_once('=')
                .filter(|(key, _)| !key.is_empty())
                .ok_or_else(|| SettingError::Syntax(word.to_owned()))?;
            if !keys.insert(key.to_owned()) {
                return Err(SettingError::Twice(key.to_owned()));
            }
            pairs.push((key.to_owned(), value.to_owned()));
        }
        Ok(Self(pairs))
    }

    /// The value of `key`.
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
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Adds `key` unless it was given.
    pub fn set_default(&mut self, key: &str, value: &str) {
        if self.get(key).is_none() {
            self.0.push((key.to_owned(), value.to_owned()));
        }
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
