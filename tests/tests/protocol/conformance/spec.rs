//! The NBD specification, sentence by sentence: `tests/spec/requirements.toml` has what binds a server or a client, the
//! sources quote it where they keep it (`//= proto.md#section`, `//# words`), and tests name the checklist's points.
//!
//! `tests/SPEC.md` is made from this: `NBDBOX_WRITE_DOCS=1 cargo test --workspace --test protocol spec::`.

mod page;
mod quotes;
mod requirements;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use self::quotes::Quote;
use self::requirements::{Requirement, Section, Spec};
use super::coverage;

/// Folders whose sources quote the specification.
const QUOTING: [&str; 3] = ["nbd-proto", "nbd-server", "nbd-client"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn spec() -> Spec {
    requirements::read(include_str!("../../../spec/requirements.toml"))
}

/// A file's path as documents name it: below `folder`, with slashes.
fn below(folder: &Path, path: &Path) -> String {
    let path = path.strip_prefix(folder).unwrap();
    let parts = path.components().map(|part| part.as_os_str().to_str());
    parts.collect::<Option<Vec<_>>>().unwrap().join("/")
}

/// Every quote in the sources, by file and line.
fn quotes() -> Vec<Quote> {
    let crates = root().join("host/crates");
    let mut quotes = Vec::new();
    for folder in QUOTING {
        for path in coverage::sources(&crates.join(folder).join("src")) {
            let text = fs::read_to_string(&path).unwrap();
            quotes.extend(quotes::read(&below(&crates, &path), &text));
        }
    }
    quotes.sort_by(|one, other| (&one.file, one.line).cmp(&(&other.file, other.line)));
    quotes
}

/// The files whose tests name each point of the checklist.
fn files_of_points() -> BTreeMap<u32, BTreeSet<String>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/protocol");
    let mut files: BTreeMap<u32, BTreeSet<String>> = BTreeMap::new();
    for path in coverage::sources(&folder) {
        for point in coverage::named(&fs::read_to_string(&path).unwrap()) {
            files
                .entry(point)
                .or_default()
                .insert(below(&folder, &path));
        }
    }
    files
}

/// The requirements that a quote keeps: those of its section that have its words.
fn kept<'a>(quote: &'a Quote, spec: &'a Spec) -> impl Iterator<Item = &'a Requirement> {
    let sections = spec.sections.iter();
    sections
        .filter(|section| section.anchor() == quote.anchor)
        .flat_map(|section| &section.requirements)
        .filter(|requirement| requirement.text.contains(&quote.words))
}

#[test]
fn the_requirements_are_sound() {
    let spec = spec();
    let mut ids = BTreeSet::new();
    for (_, requirement) in spec.requirements() {
        let Requirement {
            id, level, text, ..
        } = requirement;
        assert!(ids.insert(id), "there are two {id}");
        assert!(text.contains(level.as_str()), "{id} has no {level}");
        for point in &requirement.points {
            assert!(coverage::POINTS.contains(point), "{id}: point {point}");
        }
        for path in &requirement.kept_in {
            assert!(root().join(path).is_file(), "{id}: {path} doesn't exist");
        }
        for test in &requirement.tests {
            assert!(exists(test), "{id}: there is no test {test}");
        }
    }
}

/// Whether there is such a test: a file, or a function in one.
fn exists(test: &str) -> bool {
    let (path, name) = test.split_once("::").unwrap_or((test, ""));
    let text = fs::read_to_string(root().join(path)).unwrap_or_default();
    // As in `#[test]` and `#[tokio::test(start_paused = true)]`.
    let is_tested = text.contains("test]") || text.contains("test(");
    is_tested && (name.is_empty() || text.contains(&format!("fn {name}(")))
}

#[test]
fn every_quote_is_verbatim() {
    let spec = spec();
    for quote in &quotes() {
        let Quote {
            file, line, words, ..
        } = quote;
        let binds = ["MUST", "SHOULD", "MAY"]
            .iter()
            .any(|word| words.contains(word));
        assert!(binds, "{file}:{line}: no MUST, SHOULD or MAY is quoted");
        assert!(
            kept(quote, &spec).next().is_some(),
            "{file}:{line}: requirements.toml has no such words in section {}: {words}",
            quote.anchor
        );
    }
}

#[test]
fn every_requirement_has_a_check_and_a_test_or_a_reason() {
    let spec = spec();
    let quotes = quotes();
    let kept: BTreeSet<&str> = quotes
        .iter()
        .flat_map(|quote| kept(quote, &spec))
        .map(|requirement| &*requirement.id)
        .collect();
    let points = files_of_points();
    for (_, requirement) in spec.requirements() {
        let id = &*requirement.id;
        let is_checked = kept.contains(id) || !requirement.kept_in.is_empty();
        let is_tested = !requirement.tests.is_empty() || !requirement.points.is_empty();
        if requirement.not_ours.is_some() {
            assert!(!is_checked && !is_tested, "{id} isn't ours, but is kept");
            continue;
        }
        let check = is_checked != requirement.no_check.is_some();
        assert!(check, "{id}: quote it, or give the reason (`no_check`)");
        let test = is_tested != requirement.no_test.is_some();
        assert!(test, "{id}: name a test, or give the reason (`no_test`)");
        for point in &requirement.points {
            assert!(points.contains_key(point), "{id}: no test of point {point}");
        }
    }
}

#[test]
fn the_page_is_up_to_date() {
    let path = root().join("tests/SPEC.md");
    let made = page::page(&spec(), &quotes(), &files_of_points());
    if std::env::var_os("NBDBOX_WRITE_DOCS").is_some() {
        fs::write(&path, &made).unwrap();
    }
    let there = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == made,
        "tests/SPEC.md is out of date: set NBDBOX_WRITE_DOCS=1 and run again"
    );
}

#[test]
fn sections_are_named_as_in_links() {
    let anchor = |heading: &str| {
        Section {
            heading: heading.to_owned(),
            item: None,
            requirements: vec![],
        }
        .anchor()
    };
    assert_eq!(anchor("Size constraints"), "size-constraints");
    assert_eq!(
        anchor("The `base:` metadata namespace"),
        "the-base-metadata-namespace"
    );
}
