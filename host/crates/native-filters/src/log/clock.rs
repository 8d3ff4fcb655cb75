//! The time at the start of a line, in UTC: `2020-08-06 02:07:23.080415`.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

pub(super) struct Time(pub(super) SystemTime);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = self.0.duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = since.as_secs();
        let (year, month, day) = date(seconds / 86_400);
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        let micros = since.subsec_micros();
        write!(
            f,
            "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{micros:06}"
        )
    }
}

/// The date of a day, counted from 1970 (Howard Hinnant's `civil_from_days`, which counts eras of 400 years).
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + u64::from(month <= 2), month, date)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_dates() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00.000007"),
            (951_782_400, "2000-02-29 00:00:00.000007"),
            (1_596_679_643, "2020-08-06 02:07:23.000007"),
            (4_102_444_799, "2099-12-31 23:59:59.000007"),
        ] {
            let time = UNIX_EPOCH + Duration::new(seconds, 7000);
            assert_eq!(Time(time).to_string(), text);
        }
    }
}
