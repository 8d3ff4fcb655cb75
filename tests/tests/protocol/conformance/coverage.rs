//! Each point of `CHECKLIST.md` has a test that names it.

use std::collections::BTreeSet;
use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

pub(super) const POINTS: RangeInclusive<u32> = 1..=70;

/// The numbers of the checklist, in its order.
fn checklist() -> Vec<u32> {
    let text = include_str!("../../../CHECKLIST.md");
    let number = |line: &str| line.split_once(". ")?.0.parse().ok();
    text.lines().filter_map(number).collect()
}

/// The points that a source's tests name: `/// Point 43: …` before a `#[test]`.
pub(super) fn named(source: &str) -> BTreeSet<u32> {
    let mut points = BTreeSet::new();
    let mut candidate: Option<u32> = None;
    for line in source.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("/// Point ") {
            candidate = rest
                .split_once(':')
                .and_then(|(number, _)| number.parse().ok());
        } else if line == "#[test]" {
            points.extend(candidate.take());
        } else if !line.starts_with("///") {
            candidate = None;
        }
    }
    points
}

/// The points that any of these tests names.
fn tested() -> BTreeSet<u32> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let sources = sources(&folder).into_iter();
    sources
        .flat_map(|path| named(&fs::read_to_string(path).unwrap()))
        .collect()
}

/// The Rust sources of a folder and of those in it.
pub(super) fn sources(folder: &Path) -> Vec<PathBuf> {
    let files = files_below(folder).into_iter();
    files
        .filter(|path| path.extension().is_some_and(|end| end == "rs"))
        .collect()
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => files_below(&path),
            false => vec![path],
        })
        .collect()
}

#[test]
fn the_checklist_is_complete() {
    assert_eq!(checklist(), POINTS.collect::<Vec<_>>());
}

#[test]
fn every_point_is_tested() {
    let tested = tested();
    let missing: Vec<u32> = POINTS.filter(|point| !tested.contains(point)).collect();
    assert_eq!(missing, [0; 0], "no `/// Point N: …` on a test");
}

#[test]
fn no_tested_point_is_unknown() {
    for point in tested() {
        assert!(POINTS.contains(&point), "there is no point {point}");
    }
}

#[test]
fn only_doc_comments_of_tests_count() {
    let source = "/// Point 1: a helper.\nfn helper() {}\n\n/// Point 2: a test,\n/// in words.\n\
                  #[test]\nfn test() {}\n#[test]\nfn another() {}\n";
    assert_eq!(named(source), BTreeSet::from([2]));
}
