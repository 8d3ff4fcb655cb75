//! Mistakes in a configuration, with their places.

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::Source;

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// The path of the file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

impl Position {
    /// The line in which a span begins.
    pub(super) fn of(source: Source<'_>, span: &Range<usize>) -> Self {
        let before = source.text.as_bytes().get(..span.start);
        let before = before.unwrap_or(source.text.as_bytes());
        let breaks = before.iter().filter(|byte| **byte == b'\n').count();
        Self {
            file: source.path.to_string_lossy().into_owned(),
            line: breaks + 1,
        }
    }
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Its place.
    pub place: Position,
    /// The key, with the tables around it: `tenant.alice.export.plugin`. Empty if the mistake concerns the whole file.
    pub key: String,
    /// The mistake, and what was expected.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, key, text } = self;
        match &key[..] {
            "" => write!(f, "{place}: {text}"),
            key => write!(f, "{place}: {key}: {text}"),
        }
    }
}

/// All mistakes; shown one a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// The mistakes; from [`or`](Self::or), in the order of files and lines.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a mistake.
    pub fn add(&mut self, place: Position, key: impl Into<String>, text: impl Into<String>) {
        self.0.push(Problem {
            place,
            key: printable(key.into()),
            text: printable(text.into()),
        });
    }

    /// Returns `value` if there are no mistakes.
    ///
    /// # Errors
    /// The mistakes, in the order of files and lines.
    pub fn or<T>(mut self, value: T) -> Result<T, Self> {
        if self.0.is_empty() {
            return Ok(value);
        }
        // Files are given in the order of their names, so sorting by name keeps their order.
        self.0.sort_by(|one, other| one.place.cmp(&other.place));
        Err(self)
    }
}

/// A message quotes the file, goes to a terminal, and must stay one line.
fn printable(text: String) -> String {
    if !text.contains(char::is_control) {
        return text;
    }
    text.replace(char::is_control, "\u{fffd}")
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let end = if index == 0 { "" } else { "\n" };
            write!(f, "{end}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
