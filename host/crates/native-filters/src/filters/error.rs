//! `error`: some calls fail.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

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
    state: AtomicU64,
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
            state: AtomicU64::new(RandomState::new().hash_one(0)),
        }
    }

    /// A number from 0 to 1, by splitmix64: good enough, because no security depends on it.
    fn random(&self) -> f64 {
        let value = self
            .state
            .fetch_add(0x9e37_79b9_7f4a_7c15, Relaxed)
            .wrapping_add(0x9e37_79b9_7f4a_7c15);
        let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let high = u32::try_from((value ^ (value >> 31)) >> 32).unwrap_or_default();
        f64::from(high) / (f64::from(u32::MAX) + 1.0)
    }
}

impl Hook for Errors {
    fn plan(&self, call: &Call) -> Plan {
        let rule = &self.kinds[call.kind() as usize];
        if rule.rate <= 0.0 || self.random() >= rule.rate {
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
    fn random_numbers_are_spread_from_0_to_1() {
        let settings = nbdbox_config::settings::Settings::default();
        let errors = Errors::new(&Reader::new("error", &settings));
        let low = (0..10_000).filter(|_| errors.random() < 0.1).count();
        assert!((500..2000).contains(&low), "{low}");
        assert!((0..10_000).all(|_| (0.0..1.0).contains(&errors.random())));
    }
}
