//! `delay`: delays calls.

use std::time::Duration;

use device::WriteFlags;
use device::fault::Failure;
use nbd_proto::Errno;

use crate::call::{Call, Kind};
use crate::hook::Hook;
use crate::plan::{Plan, Then};
use crate::settings::Reader;

/// The longest delay. Meanwhile the request counts as in flight for its client, and a server that stops may wait for
/// it.
const LONGEST: Duration = Duration::from_secs(3600);

#[derive(Debug)]
pub(crate) struct Delay {
    kinds: [Duration; Kind::COUNT],
    fast_zero: bool,
    open: Duration,
    close: Duration,
}

impl Delay {
    pub(crate) fn new(settings: &Reader<'_>) -> Self {
        let time = |key: &str| {
            let what = "seconds, or a number and ns, us, ms or s; an hour at most";
            settings.parsed(key, parse, what)
        };
        let mut kinds = [Duration::ZERO; Kind::COUNT];
        let mut set = |key: &str, of: &[Kind]| {
            if let Some(time) = time(key) {
                for kind in of {
                    kinds[*kind as usize] = time;
                }
            }
        };
        set("rdelay", &[Kind::Read]);
        set("delay-read", &[Kind::Read]);
        set("wdelay", &[Kind::Write, Kind::Zero, Kind::Trim]);
        set("delay-write", &[Kind::Write]);
        set("delay-zero", &[Kind::Zero]);
        set("delay-trim", &[Kind::Trim]);
        set("delay-extents", &[Kind::Extents]);
        set("delay-cache", &[Kind::Cache]);
        Self {
            kinds,
            fast_zero: settings.boolean("delay-fast-zero", true),
            open: time("delay-open").unwrap_or_default(),
            close: time("delay-close").unwrap_or_default(),
        }
    }
}

impl Hook for Delay {
    fn plan(&self, call: &Call) -> Plan {
        let flags = call.flags();
        if flags.contains(WriteFlags::FAST_ZERO) && !self.fast_zero {
            let failure = Failure::answer(Errno::Enotsup, None);
            return Plan::then(Then::Refuse(failure), flags);
        }
        Plan {
            wait: self.kinds[call.kind() as usize],
            ..Plan::pass(flags)
        }
    }

    fn open_wait(&self) -> Duration {
        self.open
    }

    fn close_wait(&self) -> Duration {
        self.close
    }
}

/// Parses `2`, `2s`, `100ms`, `5us`, `7ns`.
fn parse(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let time = match unit {
        "" | "s" => Duration::from_secs(number),
        "ms" => Duration::from_millis(number),
        "us" | "μs" => Duration::from_micros(number),
        "ns" => Duration::from_nanos(number),
        _ => return None,
    };
    (time <= LONGEST).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units_and_an_end() {
        assert_eq!(parse("2"), Some(Duration::from_secs(2)));
        assert_eq!(parse("100ms"), Some(Duration::from_millis(100)));
        assert_eq!(parse("5us"), Some(Duration::from_micros(5)));
        for text in ["", "ms", "-1", "1m", "1.5", "3601", "99999999999999999999"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
