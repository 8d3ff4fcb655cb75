//! How long a connection looks for its client's next request before it sleeps.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The longest time that makes sense: after it, a sleep costs nothing in comparison.
const MOST: u32 = 1000;

/// The time for which a connection polls its socket after its last request; zero if it never polls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Poll(Duration);

/// A text that isn't such a time.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` isn't `off` or a time from 1us to {MOST}us, as in 50us")]
pub struct PollError(String);

impl Poll {
    /// The time.
    #[must_use]
    pub const fn time(self) -> Duration {
        self.0
    }
}

impl Default for Poll {
    /// 50 µs: a client on the same machine sends its next request within it, and a client on a network doesn't.
    fn default() -> Self {
        Self(Duration::from_micros(50))
    }
}

impl FromStr for Poll {
    type Err = PollError;

    fn from_str(text: &str) -> Result<Self, PollError> {
        if text == "off" {
            return Ok(Self(Duration::ZERO));
        }
        let number = text
            .strip_suffix("us")
            .and_then(|number| number.parse().ok());
        let number = number.filter(|number| (1..=MOST).contains(number));
        let micros = number.ok_or_else(|| PollError(text.to_owned()))?;
        Ok(Self(Duration::from_micros(micros.into())))
    }
}

impl fmt::Display for Poll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_micros() {
            0 => f.write_str("off"),
            micros => write!(f, "{micros}us"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_off_or_some_microseconds() {
        for text in ["off", "1us", "50us", "1000us"] {
            assert_eq!(text.parse::<Poll>().unwrap().to_string(), text);
        }
        for text in ["", "0us", "1001us", "50", "50ms", "on", "-1us"] {
            assert_eq!(
                text.parse::<Poll>(),
                Err(PollError(text.to_owned())),
                "{text}"
            );
        }
    }
}
