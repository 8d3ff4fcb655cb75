//! Sizes in the form in which people write them: `64M`, `1.5GiB`, `512`.

use std::fmt;

use thiserror::Error;

/// Why a text isn't a size.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SizeError {
    /// It doesn't begin with a decimal number, or has an unknown unit.
    #[error(
        "`{0}` isn't a size: write a number and an optional unit K, M, G, T, P or E, as in 64M"
    )]
    Syntax(String),
    /// It isn't a whole number of bytes.
    #[error("`{0}` isn't a whole number of bytes")]
    Fraction(String),
    /// It's above 2^64 - 1.
    #[error("`{0}` is too large")]
    TooLarge(String),
}

/// Parses a number of bytes: a decimal number, possibly with a fraction, and an optional unit in powers of 1024, of any
/// case: `K`, `KB` or `KiB`, and so on. `B` alone is allowed too, and `S` for sectors of 512 bytes.
///
/// # Errors
/// Quotes the text, and says what was expected.
pub fn parse(text: &str) -> Result<u64, SizeError> {
    let syntax = || SizeError::Syntax(text.to_owned());
    let unit_at = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let unit = unit_of(unit).ok_or_else(syntax)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || (number.contains('.') && fraction.is_empty()) || fraction.len() > 18 {
        return Err(syntax());
    }
    let too_large = || SizeError::TooLarge(text.to_owned());
    let digits: String = [whole, fraction].concat();
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(syntax());
    }
    let value: u128 = digits.parse().map_err(|_| too_large())?;
    let scale = 10u128.pow(u32::try_from(fraction.len()).unwrap_or(0));
    let scaled = value.checked_mul(u128::from(unit)).ok_or_else(too_large)?;
    if scaled % scale != 0 {
        return Err(SizeError::Fraction(text.to_owned()));
    }
    u64::try_from(scaled / scale).map_err(|_| too_large())
}

fn unit_of(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let exponent = match lower.trim_end_matches("ib").trim_end_matches('b') {
        "" => 0,
        "s" if lower == "s" => return Some(512),
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        "e" => 6,
        _ => return None,
    };
    Some(1 << (10 * exponent))
}

/// A number of bytes, shown for people: in the largest unit, with two decimals unless it's a whole number.
#[derive(Clone, Copy, Debug)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        let power = (self.0.max(1).ilog2() / 10) as usize;
        let unit = UNITS.get(power).copied().unwrap_or("EiB");
        let one = 1u64 << (10 * power);
        if self.0.is_multiple_of(one) {
            write!(f, "{} {unit}", self.0 / one)
        } else {
            let hundredths = u128::from(self.0) * 100 / u128::from(one);
            write!(f, "{}.{:02} {unit}", hundredths / 100, hundredths % 100)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_powers_of_1024() {
        for (text, bytes) in [
            ("0", 0),
            ("512", 512),
            ("1k", 1 << 10),
            ("64M", 64 << 20),
            ("64MiB", 64 << 20),
            ("64mb", 64 << 20),
            ("1.5G", 3 << 29),
            ("15E", 15 << 60),
            ("2s", 1024),
            ("7B", 7),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn nonsense_is_quoted() {
        for text in [
            "", "M", "1X", "-1", "1..5G", ".5G", "1.G", "0x10", "1 G", "1GG", "é",
        ] {
            assert_eq!(
                parse(text),
                Err(SizeError::Syntax(text.to_owned())),
                "{text}"
            );
        }
        assert_eq!(parse("1.3"), Err(SizeError::Fraction("1.3".to_owned())));
        assert_eq!(parse("16E"), Err(SizeError::TooLarge("16E".to_owned())));
    }

    #[test]
    fn sizes_are_shown_as_people_write_them() {
        assert_eq!(Bytes(64 << 20).to_string(), "64 MiB");
        assert_eq!(Bytes(1536).to_string(), "1.50 KiB");
        assert_eq!(Bytes(0).to_string(), "0 B");
        assert_eq!(Bytes(u64::MAX).to_string(), "15.99 EiB");
    }
}
