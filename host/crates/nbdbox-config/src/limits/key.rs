//! The definition of a limit, from which parser, schema and manual are made.

use std::time::Duration;

use thiserror::Error;

use crate::size::{self, Bytes};

/// A limit of `T` that an operator can set.
#[derive(Debug)]
pub struct Key<T> {
    /// The name, in `--limit` and in the configuration.
    pub name: &'static str,
    /// What the limit bounds: a line for the manual.
    pub about: &'static str,
    /// The least value, in bytes or pieces; times are 1 ms or more.
    pub least: u64,
    /// The greatest value.
    pub most: u64,
    /// The limit's field, whose type decides the form of the value.
    pub field: fn(&mut T) -> Field<'_>,
}

/// The field of a limit's value.
#[derive(Debug)]
pub enum Field<'a> {
    /// A number of bytes, such as `64MiB`.
    Bytes(&'a mut u64),
    /// A time, such as `100ms`.
    Time(&'a mut Duration),
    /// A time, or `never`.
    TimeOrNever(&'a mut Option<Duration>),
    /// A plain number.
    Count(&'a mut usize),
    /// A plain number of 64 bits.
    Number(&'a mut u64),
    /// A plain number, or `none`.
    NumberOrNone(&'a mut Option<u64>),
    /// A number of bytes, or `none`.
    BytesOrNone(&'a mut Option<u64>),
}

/// A mistake in a limit.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LimitError {
    /// No limit has this name.
    #[error("`{name}` isn't a limit; the limits are {known}")]
    Unknown {
        /// The name that was given.
        name: String,
        /// The names of all limits.
        known: String,
    },
    /// The word isn't `NAME=VALUE`.
    #[error("`{0}` isn't NAME=VALUE, as in memory=64MiB")]
    Syntax(String),
    /// The value doesn't fit.
    #[error("limit {name}={value}: {expected}")]
    Value {
        /// The limit's name.
        name: &'static str,
        /// The value that was given.
        value: String,
        /// What was expected.
        expected: String,
    },
}

impl<T> Key<T> {
    /// Sets the limit in `limits` to `value`.
    ///
    /// # Errors
    /// What was expected.
    pub fn set(&self, limits: &mut T, value: &str) -> Result<(), LimitError> {
        let set = match (self.field)(limits) {
            Field::Bytes(place) => self.bytes(value).map(|bytes| *place = bytes),
            Field::Time(place) => time(value).map(|time| *place = time),
            Field::TimeOrNever(place) if value == "never" => {
                *place = None;
                Ok(())
            }
            Field::TimeOrNever(place) => time(value).map(|time| *place = Some(time)),
            Field::Count(place) => self.number(value).map(|count| *place = count),
            Field::Number(place) => self.number(value).map(|weight| *place = weight),
            Field::NumberOrNone(place) | Field::BytesOrNone(place) if value == "none" => {
                *place = None;
                Ok(())
            }
            Field::NumberOrNone(place) => self.number(value).map(|rate| *place = Some(rate)),
            Field::BytesOrNone(place) => self.bytes(value).map(|rate| *place = Some(rate)),
        };
        set.map_err(|expected| LimitError::Value {
            name: self.name,
            value: value.to_owned(),
            expected,
        })
    }

    fn bytes(&self, value: &str) -> Result<u64, String> {
        let bytes = size::parse(value).map_err(|error| error.to_string())?;
        if bytes < self.least {
            return Err(format!("at least {} is needed", Bytes(self.least)));
        }
        if bytes > self.most {
            return Err(format!("at most {} is allowed", Bytes(self.most)));
        }
        Ok(bytes)
    }

    fn number<N: TryFrom<u64>>(&self, value: &str) -> Result<N, String> {
        let number = value.parse::<u64>().ok();
        let number = number.filter(|number| (self.least..=self.most).contains(number));
        number
            .and_then(|number| N::try_from(number).ok())
            .ok_or_else(|| format!("a number from {} to {} is expected", self.least, self.most))
    }
}

impl<T: Default> Key<T> {
    /// The default, in the form in which an operator would write it.
    #[must_use]
    pub fn default_value(&self) -> String {
        match (self.field)(&mut T::default()) {
            Field::Bytes(bytes) => Bytes(*bytes).to_string().replace(' ', ""),
            Field::Time(time) | Field::TimeOrNever(Some(time)) => format!("{time:?}"),
            Field::TimeOrNever(None) => "never".to_owned(),
            Field::Count(count) => count.to_string(),
            Field::Number(weight) => weight.to_string(),
            Field::NumberOrNone(None) | Field::BytesOrNone(None) => "none".to_owned(),
            Field::NumberOrNone(Some(rate)) => rate.to_string(),
            Field::BytesOrNone(Some(rate)) => Bytes(*rate).to_string().replace(' ', ""),
        }
    }

    /// The kind of the value, in one word: `bytes`, `time` or `number`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match (self.field)(&mut T::default()) {
            Field::Bytes(_) | Field::BytesOrNone(_) => "bytes",
            Field::Time(_) | Field::TimeOrNever(_) => "time",
            Field::Count(_) | Field::Number(_) | Field::NumberOrNone(_) => "number",
        }
    }
}

/// Sets the limit called `name` of those in `keys`.
///
/// # Errors
/// No limit has this name, or what was expected.
pub fn set<T>(
    keys: &'static [Key<T>],
    limits: &mut T,
    name: &str,
    value: &str,
) -> Result<(), LimitError> {
    match keys.iter().find(|key| key.name == name) {
        Some(key) => key.set(limits, value),
        None => Err(LimitError::Unknown {
            name: name.to_owned(),
            known: names(keys),
        }),
    }
}

/// All names, separated by commas.
#[must_use]
pub fn names<T>(keys: &[Key<T>]) -> String {
    let names: Vec<&str> = keys.iter().map(|key| key.name).collect();
    names.join(", ")
}

/// Parses a time: a whole number and `ms`, `s` or `min`.
///
/// # Errors
/// What was expected.
pub fn time(value: &str) -> Result<Duration, String> {
    let unit_at = value
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(value.len());
    let (number, unit) = value.split_at(unit_at);
    let number = number.parse::<u32>().ok().filter(|number| *number > 0);
    let duration = number.and_then(|number| {
        Some(match unit {
            "ms" => Duration::from_millis(number.into()),
            "s" => Duration::from_secs(number.into()),
            "min" => Duration::from_secs(60 * u64::from(number)),
            _ => return None,
        })
    });
    duration.ok_or_else(|| "write a whole number and ms, s or min, as in 100ms".to_owned())
}
