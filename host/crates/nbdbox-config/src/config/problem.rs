//! What is wrong with a configuration, and where.

use std::fmt;
use std::ops::Range;

use super::Source;

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The file.
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

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub place: Position,
    /// The key, with the tables that it's in: `tenant.alice.export.plugin`. Empty where it's the file.
    pub key: String,
    /// What it is, and what was expected.
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

/// All that is wrong; one line each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Each, in the order of files and lines.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }

    /// Whether there are any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds one.
    pub fn add(&mut self, place: Position, key: impl Into<String>, text: impl Into<String>) {
        self.0.push(Problem {
            place,
            key: printable(key.into()),
            text: printable(text.into()),
        });
    }

    /// `value`, unless there are problems.
    ///
    /// # Errors
    /// There are.
    pub fn or<T>(mut self, value: T) -> Result<T, Self> {
        if self.0.is_empty() {
            return Ok(value);
        }
        // The order of files is that of their names, which is how they were given.
        self.0.sort_by(|one, other| one.place.cmp(&other.place));
        Err(self)
    }
}

/// Quotes of the file go to a terminal, and each problem has one line.
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
