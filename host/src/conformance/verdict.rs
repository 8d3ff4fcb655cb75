//! The verdict on a rule.

use super::rule::Rule;

/// The verdict on one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// The rule.
    pub rule: Rule,
    /// The outcome.
    pub outcome: Outcome,
    /// What the check saw, or why the rule was skipped.
    pub seen: String,
}

/// The outcome of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Kept.
    Pass,
    /// Broken.
    Fail,
    /// Skipped: the rule doesn't apply to this plugin, or the author didn't allow it.
    Skip,
}

impl Outcome {
    /// The outcome's word in reports.
    #[must_use]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Skip => "skip",
        }
    }
}

/// Why a check ended early.
#[derive(Debug)]
pub(super) enum Stop {
    /// The rule is broken.
    Broken(String),
    /// There is nothing to check.
    Moot(String),
}

/// The result of a check: what it saw.
pub(super) type Checked = Result<String, Stop>;

/// Ends a check: the rule is broken.
pub(super) fn broken<T>(seen: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Broken(seen.into()))
}

/// Ends a check: there is nothing to check.
pub(super) fn moot<T>(why: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Moot(why.into()))
}

impl Verdict {
    pub(super) fn new(rule: Rule, checked: Checked) -> Self {
        let (outcome, seen) = match checked {
            Ok(seen) => (Outcome::Pass, seen),
            Err(Stop::Broken(seen)) => (Outcome::Fail, seen),
            Err(Stop::Moot(why)) => (Outcome::Skip, why),
        };
        Self {
            rule,
            outcome,
            seen,
        }
    }
}
