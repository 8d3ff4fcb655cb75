//! What a rule came to.

use super::rule::Rule;

/// A rule's verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// The rule.
    pub rule: Rule,
    /// How it came out.
    pub outcome: Outcome,
    /// What was seen, or why it was skipped.
    pub seen: String,
}

/// How a rule came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Kept.
    Pass,
    /// Broken.
    Fail,
    /// It says nothing about this plugin, or wasn't allowed to be tried.
    Skip,
}

impl Outcome {
    /// The word for it.
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

/// What a check comes to: what was seen.
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
