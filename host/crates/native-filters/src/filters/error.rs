//! `error`: some calls fail.

use std::path::PathBuf;
use std::sync::Arc;

use device::fault::Failure;
use nbd_proto::Errno;

use crate::call::{Call, Kind};
use crate::hook::Hook;
use crate::plan::{Plan, Then};
use crate::settings::Reader;

/// The kinds of calls that can fail, by their names in nbdkit.
const KINDS: [(&str, Kind); 6] = [
    ("pread", Kind::Read),
    ("pwrite", Kind::Write),
    ("trim", Kind::Trim),
    ("zero", Kind::Zero),
    ("extents", Kind::Extents),
    ("cache", Kind::Cache),
];

const ERRNOS: [(&str, Errno); 6] = [
    ("EPERM", Errno::Eperm),
    ("EIO", Errno::Eio),
    ("ENOMEM", Errno::Enomem),
    ("EINVAL", Errno::Einval),
    ("ENOSPC", Errno::Enospc),
    ("ESHUTDOWN", Errno::Eshutdown),
];

#[derive(Debug)]
pub(crate) struct Errors {
    kinds: [Rule; Kind::COUNT],
}

/// Which of the calls of one kind fail, and with which error.
#[derive(Clone, Debug)]
struct Rule {
    errno: Errno,
    /// The part of the calls that fail, from 0 to 1.
    rate: f64,
    /// The file that must exist for calls to fail, if there is one.
    file: Option<Arc<PathBuf>>,
}

impl Errors {
    pub(crate) fn new(settings: &Reader<'_>) -> Self {
        let read = |name: &str, default: Rule| Rule {
            errno: settings.choice(&format!("error{name}"), &ERRNOS, default.errno),
            rate: settings
                .parsed(
                    &format!("error{name}-rate"),
                    rate,
                    "a part from 0 to 1, or from 0% to 100%",
                )
                .unwrap_or(default.rate),
            file: settings
                .path(&format!("error{name}-file"))
                .map(Arc::new)
                .or(default.file),
        };
        let none = Rule {
            errno: Errno::Eio,
            rate: 0.0,
            file: None,
        };
        let all = read("", none.clone());
        let mut kinds = [const { None }; Kind::COUNT];
        for (name, kind) in KINDS {
            kinds[kind as usize] = Some(read(&format!("-{name}"), all.clone()));
        }
        Self {
            // A flush doesn't fail: nbdkit's filter has no setting for it.
            kinds: kinds.map(|rule| rule.unwrap_or(none.clone())),
        }
    }
}

impl Rule {
    /// Decides by chance whether the next call fails. No security depends on it.
    fn applies(&self) -> bool {
        fastrand::f64() < self.rate
    }
}

impl Hook for Errors {
    fn plan(&self, call: &Call) -> Plan {
        let rule = &self.kinds[call.kind() as usize];
        if !rule.applies() {
            return Plan::pass(call.flags());
        }
        let failure = Failure::answer(
            rule.errno,
            Some("injected by the filter `error`".to_owned()),
        );
        let then = match &rule.file {
            None => Then::Refuse(failure),
            Some(file) => Then::RefuseIf(Arc::clone(file), failure),
        };
        Plan::then(then, call.flags())
    }

    fn tells_failed_extents(&self) -> bool {
        true
    }
}

/// Parses `10%`, `0.1`.
fn rate(text: &str) -> Option<f64> {
    let (number, whole) = match text.strip_suffix('%') {
        Some(number) => (number, 100.0),
        None => (text, 1.0),
    };
    let rate = number.parse::<f64>().ok()? / whole;
    (0.0..=1.0).contains(&rate).then_some(rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_parts_or_per_cents() {
        assert_eq!(rate("10%"), Some(0.1));
        assert_eq!(rate("1"), Some(1.0));
        assert_eq!(rate("0"), Some(0.0));
        for text in ["", "%", "2", "101%", "-1", "NaN", "inf"] {
            assert_eq!(rate(text), None, "{text}");
        }
    }

    #[test]
    fn about_as_many_calls_fail_as_the_rate_has_it() {
        let failed = |rate| {
            let rule = Rule {
                errno: Errno::Eio,
                rate,
                file: None,
            };
            (0..10_000).filter(|_| rule.applies()).count()
        };
        assert_eq!((failed(0.0), failed(1.0)), (0, 10_000));
        assert!((500..2000).contains(&failed(0.1)));
    }
}
