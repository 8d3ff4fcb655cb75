//! The settings of a filter. Each key is read once, so a key that nobody read is a mistake.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use nbdbox_config::settings::Settings;
use nbdbox_config::size;

/// The operator's settings, and the mistakes in them.
pub(crate) struct Reader<'a> {
    filter: &'static str,
    settings: &'a Settings,
    known: RefCell<Vec<String>>,
    wrong: RefCell<Vec<String>>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(filter: &'static str, settings: &'a Settings) -> Self {
        Self {
            filter,
            settings,
            known: RefCell::default(),
            wrong: RefCell::default(),
        }
    }

    /// The value of a key, if it's set.
    pub(crate) fn text(&self, key: &str) -> Option<&'a str> {
        self.known.borrow_mut().push(key.to_owned());
        self.settings.get(key)
    }

    /// The value of a key as `parse` reads it. If `parse` returns `None`, the mistake is noted: it must be `what`.
    pub(crate) fn parsed<T>(
        &self,
        key: &str,
        parse: impl FnOnce(&str) -> Option<T>,
        what: &str,
    ) -> Option<T> {
        let value = self.text(key)?;
        let parsed = parse(value);
        if parsed.is_none() {
            self.complain(format!("{key}={value}: it must be {what}"));
        }
        parsed
    }

    /// The choice that the key's value names, or the default.
    pub(crate) fn choice<T: Copy>(&self, key: &str, choices: &[(&str, T)], default: T) -> T {
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        let find = |value: &str| {
            let found = choices.iter().find(|(word, _)| *word == value);
            found.map(|(_, choice)| *choice)
        };
        self.parsed(key, find, &format!("one of {}", words.join(", ")))
            .unwrap_or(default)
    }

    pub(crate) fn boolean(&self, key: &str, default: bool) -> bool {
        // The words of nbdkit.
        let parse = |value: &str| match &value.to_ascii_lowercase()[..] {
            "true" | "t" | "yes" | "y" | "on" | "1" => Some(true),
            "false" | "f" | "no" | "n" | "off" | "0" => Some(false),
            _ => None,
        };
        self.parsed(key, parse, "true or false").unwrap_or(default)
    }

    /// A number of bytes.
    pub(crate) fn size(&self, key: &str) -> Option<u32> {
        let parse = |value: &str| {
            let size = size::parse(value).ok()?;
            Some(u32::try_from(size).unwrap_or(u32::MAX))
        };
        self.parsed(key, parse, "a size, as in 4K")
    }

    /// An operator's path. Whether it exists isn't checked.
    pub(crate) fn path(&self, key: &str) -> Option<PathBuf> {
        self.text(key).map(|path| Path::new(path).to_owned())
    }

    pub(crate) fn complain(&self, text: String) {
        self.wrong.borrow_mut().push(text);
    }

    /// All mistakes, including unknown keys.
    pub(crate) fn finish(self) -> Vec<String> {
        let mut wrong = self.wrong.into_inner();
        let known = self.known.into_inner();
        for (key, _) in self.settings.iter() {
            if !known.iter().any(|one| one == key) {
                let knows = match known.len() {
                    0 => "takes none".to_owned(),
                    _ => format!("knows {}", known.join(", ")),
                };
                wrong.push(format!("unknown key `{key}`: {} {knows}", self.filter));
            }
        }
        wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans_are_those_of_nbdkit() {
        let read = |value: &str| {
            let settings = Settings::parse(&[format!("key={value}")]).unwrap();
            let reader = Reader::new("filter", &settings);
            let value = [true, false].map(|default| reader.boolean("key", default));
            (reader.finish().is_empty() && value[0] == value[1]).then_some(value[0])
        };
        for (words, expected) in [
            ("1 true TRUE t y Y yes on On", Some(true)),
            ("0 false f n no NO off", Some(false)),
            ("2 maybe tr ye o", None),
        ] {
            for word in words.split(' ') {
                assert_eq!(read(word), expected, "{word}");
            }
        }
    }
}
