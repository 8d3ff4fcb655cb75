//! `tests/SPEC.md`: each requirement with its check and its test, and those without.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::kept;
use super::quotes::Quote;
use super::requirements::{Requirement, Section, Spec};

const LEVELS: [&str; 5] = ["MUST", "MUST NOT", "SHOULD", "SHOULD NOT", "MAY"];

/// What the page is made of.
struct Page<'a> {
    spec: &'a Spec,
    /// The files that quote each requirement.
    checks: BTreeMap<&'a str, BTreeSet<&'a str>>,
    /// The files that test each point of the checklist.
    points: &'a BTreeMap<u32, BTreeSet<String>>,
    /// The requirements that nbdbox deviates from, in the order of the page.
    deviations: Vec<&'a str>,
}

/// The whole page.
pub(super) fn page(
    spec: &Spec,
    quotes: &[Quote],
    points: &BTreeMap<u32, BTreeSet<String>>,
) -> String {
    let mut checks: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for quote in quotes {
        for requirement in kept(quote, spec) {
            let files = checks.entry(&requirement.id).or_default();
            files.insert(&quote.file);
        }
    }
    let deviating = spec
        .requirements()
        .filter(|(_, one)| one.deviation.is_some());
    let deviations = deviating.map(|(_, one)| &*one.id).collect();
    let page = Page {
        spec,
        checks,
        points,
        deviations,
    };
    let mut out = String::new();
    page.write(&mut out).expect("a string takes everything");
    out
}

/// A sentence or a reason as a table's cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// Where a requirement stands.
fn place(section: &Section) -> String {
    match &section.item {
        Some(item) => format!("{}, {item}", section.heading),
        None => section.heading.clone(),
    }
}

/// Its level and, unless it's the server, whom it binds.
fn level(requirement: &Requirement) -> String {
    let mut level = requirement.level.clone();
    match &*requirement.binds {
        "server" => {}
        "client" => level.push_str(" (client)"),
        _ => level.push_str(" (both)"),
    }
    if requirement.extension {
        level.push_str(" ext");
    }
    level
}

impl Page<'_> {
    fn write(&self, out: &mut String) -> std::fmt::Result {
        let Spec {
            commit, extension, ..
        } = self.spec;
        writeln!(
            out,
            "# The specification, sentence by sentence\n\n\
             The test in `tests/tests/protocol/conformance/spec.rs` generates this page from \
             [spec/requirements.toml](spec/requirements.toml), and from the quotes in the sources.\n\n\
             The sentences are those of `doc/proto.md` of the NetworkBlockDevice project, commit `{commit}`; those marked \
             *ext* are of its branch `extension-ext-header`, up to commit `{extension}`, as the branch's mails have them. \
             *Client* means nbdbox's own, `nbdbox map`, or what the server checks of others.\n\n\
             - *Check*: the files in `host/crates` that quote the sentence (`//= proto.md#section`, `//# words`) at the \
             code that keeps to it. A path in italics keeps to it without a quote.\n\
             - *Test*: points of [CHECKLIST.md](CHECKLIST.md) with the files in `tests/tests/protocol` that test them, and \
             further tests.\n"
        )?;
        self.write_counts(out)?;
        self.write_deviations(out)?;
        self.write_missing(out)?;
        self.write_sections(out)?;
        self.write_others(out)
    }

    fn ours(&self) -> impl Iterator<Item = (&Section, &Requirement)> {
        let all = self.spec.requirements();
        all.filter(|(_, requirement)| requirement.not_ours.is_none())
    }

    fn write_counts(&self, out: &mut String) -> std::fmt::Result {
        out.push_str(
            "| | sentences | bind nbdbox | without a check | without a test | deviations |\n|---|---|---|---|---|---|\n",
        );
        let all = self.spec.requirements().map(|(_, requirement)| requirement);
        let all: Vec<&Requirement> = all.collect();
        for level in LEVELS {
            let of_level = || all.iter().filter(|one| one.level == level);
            let count = |is: fn(&Requirement) -> bool| of_level().filter(|one| is(one)).count();
            writeln!(
                out,
                "| {level} | {} | {} | {} | {} | {} |",
                of_level().count(),
                count(|one| one.not_ours.is_none()),
                count(|one| one.no_check.is_some()),
                count(|one| one.no_test.is_some()),
                count(|one| one.deviation.is_some()),
            )?;
        }
        Ok(())
    }

    fn write_deviations(&self, out: &mut String) -> std::fmt::Result {
        out.push_str(
            "\n## Deviations\n\nWhere nbdbox does something else than a sentence, or less:\n\n",
        );
        let mut number = 0;
        for (section, requirement) in self.spec.requirements() {
            if let Some(deviation) = &requirement.deviation {
                number += 1;
                writeln!(
                    out,
                    "{number}. {} ({}): \"{}\"\n   {deviation}",
                    place(section),
                    level(requirement),
                    requirement.text
                )?;
            }
        }
        Ok(())
    }

    fn write_missing(&self, out: &mut String) -> std::fmt::Result {
        out.push_str(
            "\n## Without a check or a test\n\n| section | requirement | level | has no | why |\n|---|---|---|---|---|\n",
        );
        for (section, requirement) in self.ours() {
            for (what, why) in [
                ("check", &requirement.no_check),
                ("test", &requirement.no_test),
            ] {
                if let Some(why) = why {
                    writeln!(
                        out,
                        "| {} | {} | {} | {what} | {} |",
                        place(section),
                        cell(&requirement.text),
                        level(requirement),
                        cell(why)
                    )?;
                }
            }
        }
        Ok(())
    }

    fn write_sections(&self, out: &mut String) -> std::fmt::Result {
        let mut heading = "";
        for section in &self.spec.sections {
            let is_ours = |one: &&Requirement| one.not_ours.is_none();
            let ours = section.requirements.iter().filter(is_ours);
            let ours: Vec<&Requirement> = ours.collect();
            if ours.is_empty() {
                continue;
            }
            if heading != section.heading {
                heading = &section.heading;
                writeln!(out, "\n## {heading}")?;
            }
            if let Some(item) = &section.item {
                writeln!(out, "\n### {item}")?;
            }
            out.push_str("\n| requirement | level | check | test |\n|---|---|---|---|\n");
            for requirement in ours {
                writeln!(
                    out,
                    "| {}{} | {} | {} | {} |",
                    cell(&requirement.text),
                    self.deviation(requirement),
                    level(requirement),
                    self.check(requirement),
                    self.test(requirement)
                )?;
            }
        }
        Ok(())
    }

    /// A reference to the list of deviations.
    fn deviation(&self, requirement: &Requirement) -> String {
        let mut deviations = self.deviations.iter();
        match deviations.position(|id| *id == requirement.id) {
            Some(index) => format!(" ([deviation {}](#deviations))", index + 1),
            None => String::new(),
        }
    }

    fn check(&self, requirement: &Requirement) -> String {
        let quoting = self.checks.get(&*requirement.id).into_iter().flatten();
        let quoting = quoting.map(|file| format!("`{}`", file.replacen("/src/", "/", 1)));
        let others = requirement.kept_in.iter();
        let others = others.map(|file| {
            let file = file.trim_start_matches("host/crates/");
            format!("*{}*", file.replacen("/src/", "/", 1))
        });
        or_none(quoting.chain(others).collect())
    }

    fn test(&self, requirement: &Requirement) -> String {
        let points = requirement.points.iter().map(|point| {
            let files = self.points.get(point).into_iter().flatten();
            let files: Vec<String> = files.map(|file| format!("`{file}`")).collect();
            format!("{point}: {}", files.join(", "))
        });
        let others = requirement.tests.iter().map(|test| {
            let (path, name) = test.split_once("::").unwrap_or((test, ""));
            let file = path.rsplit('/').next().unwrap_or(path);
            let of_crate = path.strip_prefix("host/crates/");
            let of_crate = of_crate.and_then(|path| path.split('/').next());
            let file = of_crate.map_or(file.to_owned(), |name| format!("{name}/{file}"));
            match name {
                "" => format!("`{file}`"),
                _ => format!("`{file}::{name}`"),
            }
        });
        or_none(points.chain(others).collect())
    }

    fn write_others(&self, out: &mut String) -> std::fmt::Result {
        out.push_str(
            "\n## What binds neither side of nbdbox\n\n| section | requirement | level | why |\n|---|---|---|---|\n",
        );
        for (section, requirement) in self.spec.requirements() {
            if let Some(why) = &requirement.not_ours {
                writeln!(
                    out,
                    "| {} | {} | {} | {} |",
                    place(section),
                    cell(&requirement.text),
                    level(requirement),
                    cell(why)
                )?;
            }
        }
        Ok(())
    }
}

fn or_none(parts: Vec<String>) -> String {
    if parts.is_empty() {
        return "none".to_owned();
    }
    parts.join("; ")
}
