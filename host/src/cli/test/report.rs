//! The verdicts as text for people, as JSON, and as JUnit for CI.

use std::path::Path;

use anyhow::Context as _;
use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};
use serde_json::json;

use crate::conformance::{Outcome, Verdict};

/// The facts of a run that its reports have.
pub(super) struct Report<'a> {
    plugin: &'a str,
    seed: u64,
}

impl<'a> Report<'a> {
    pub(super) fn new(plugin: &'a str, seed: u64) -> Self {
        Self { plugin, seed }
    }

    pub(super) fn heading(&self) -> String {
        format!("{}, --seed {}\n", self.plugin, self.seed)
    }

    pub(super) fn json(&self, verdicts: &[Verdict]) -> anyhow::Result<String> {
        let rules: Vec<_> = verdicts
            .iter()
            .map(|verdict| {
                json!({
                    "rule": verdict.rule.name(),
                    "meaning": verdict.rule.meaning(),
                    "verdict": verdict.outcome.name(),
                    "seen": verdict.seen,
                })
            })
            .collect();
        let report = json!({ "plugin": self.plugin, "seed": self.seed, "rules": rules });
        Ok(serde_json::to_string_pretty(&report)? + "\n")
    }

    pub(super) fn junit(&self, verdicts: &[Verdict], file: &Path) -> anyhow::Result<()> {
        let mut suite = TestSuite::new(self.plugin);
        suite.add_property(("seed", self.seed.to_string().as_str()));
        suite.add_test_cases(verdicts.iter().map(|verdict| {
            let mut case = TestCase::new(verdict.rule.name(), status(verdict));
            case.set_classname(self.plugin);
            case.set_system_out(&verdict.seen);
            case
        }));
        let mut report = quick_junit::Report::new("nbdbox test");
        report.add_test_suite(suite);
        let context = || format!("can't write {}", file.display());
        let output = outside::files::append(file, true).with_context(context)?;
        report.serialize(output).with_context(context)
    }
}

fn status(verdict: &Verdict) -> TestCaseStatus {
    let mut status = match verdict.outcome {
        Outcome::Pass => return TestCaseStatus::success(),
        Outcome::Fail => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Outcome::Skip => TestCaseStatus::skipped(),
    };
    status.set_message(format!("{}: {}", verdict.rule.meaning(), verdict.seen));
    status
}

/// One verdict as text: two lines if the rule is broken.
pub(super) fn line(verdict: &Verdict) -> String {
    let (outcome, rule) = (verdict.outcome.name(), verdict.rule);
    let (name, meaning) = (rule.name(), rule.meaning());
    match verdict.outcome {
        Outcome::Fail => format!(
            "{outcome}  {name:<15} {meaning}\n      {:<15} {}\n",
            "", verdict.seen
        ),
        _ => format!("{outcome}  {name:<15} {}\n", verdict.seen),
    }
}

/// The number of verdicts of each kind, in a line.
pub(super) fn summary(verdicts: &[Verdict]) -> String {
    let count = |outcome| {
        verdicts
            .iter()
            .filter(|verdict| verdict.outcome == outcome)
            .count()
    };
    let [pass, fail, skip] = [Outcome::Pass, Outcome::Fail, Outcome::Skip].map(count);
    format!("{pass} kept, {fail} broken, {skip} skipped\n")
}
