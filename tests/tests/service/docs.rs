//! The files to which documents link, and the tests that they name, exist.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All Markdown files of the project, except those that were built or installed.
fn documents() -> Vec<PathBuf> {
    let folders = [
        ".",
        "host",
        "tests",
        "tests/bench",
        "guest-sdk",
        "wit",
        "example-plugins",
    ];
    let inside = ["example-plugins", "guest-sdk"].map(|folder| root().join(folder));
    let examples = inside
        .iter()
        .flat_map(|folder| fs::read_dir(folder).unwrap());
    let examples = examples.map(|entry| entry.unwrap().path());
    let folders = folders
        .iter()
        .map(|folder| root().join(folder))
        .chain(examples);
    let is_markdown = |path: &PathBuf| path.extension().is_some_and(|end| end == "md");
    folders
        .filter(|folder| folder.is_dir())
        .flat_map(|folder| fs::read_dir(folder).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(is_markdown)
        .collect()
}

#[test]
fn links_lead_somewhere() {
    let mut checked = 0;
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for (at, _) in text.match_indices("](") {
            let target = text[at + 2..].split(')').next().unwrap();
            let path = target.split('#').next().unwrap();
            if path.is_empty() || path.contains("://") {
                continue;
            }
            let path = document.parent().unwrap().join(path);
            assert!(path.exists(), "{} links to {target}", document.display());
            checked += 1;
        }
    }
    assert!(checked > 10);
}

/// Paths in backquotes of the two folders that the compiler doesn't check, such as `tests/fuzz`.
#[test]
fn files_that_documents_name_exist() {
    let mut checked = 0;
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for name in text
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(is_path_of_sources)
        {
            let exists = root().join(name).exists();
            assert!(exists, "{} names {name}", document.display());
            checked += 1;
        }
    }
    assert!(checked > 50, "{checked}");
}

fn is_path_of_sources(name: &&str) -> bool {
    let below = ["host/", "tests/"]
        .iter()
        .any(|folder| name.starts_with(folder));
    below && !name.contains(char::is_whitespace)
}

#[test]
fn every_row_of_security_md_names_tests_that_exist() {
    let text = fs::read_to_string(root().join("SECURITY.md")).unwrap();
    let sources = sources();
    for (heading, least) in [
        ("\n## What is promised", 50),
        ("\n## Work that the host does for others\n", 20),
        ("\n## Budgets\n", 20),
    ] {
        let (_, section) = text.split_once(heading).unwrap();
        let section = section.split("\n## ").next().unwrap();
        // The first two lines of a table are its head.
        let rows = section.lines().filter(|line| line.starts_with('|')).skip(2);
        let checked = rows.map(|row| assert_is_held(row, &sources)).count();
        assert!(checked >= least, "{heading}: {checked} rows");
    }
}

/// Checks that the last cell names tests that exist.
fn assert_is_held(row: &str, sources: &str) {
    let cell = row.rsplit('|').nth(1).unwrap();
    let names: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
    assert!(!names.is_empty(), "no test in: {row}");
    for name in names {
        let exists = if name.contains('/') {
            let prefix = name.split('*').next().unwrap();
            let path = root().join(prefix);
            path.exists() || has_file_with_prefix(&path)
        } else {
            sources.contains(&format!("fn {name}("))
        };
        assert!(exists, "SECURITY.md names {name}, which doesn't exist");
    }
}

/// How many times as fast as nbdkit the server is in one row of RESULTS.md, to one decimal.
fn measured(results: &str, row: &str) -> String {
    let row = results
        .lines()
        .find(|line| line.starts_with(&format!("| {row} | nbdbox |")));
    let row = row.unwrap_or_else(|| panic!("RESULTS.md has no such row"));
    let rate = row
        .split("rate × ")
        .nth(1)
        .unwrap()
        .split(' ')
        .next()
        .unwrap();
    format!("{:.1} times", rate.parse::<f64>().unwrap())
}

#[test]
fn the_readme_says_what_was_measured() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let results = fs::read_to_string(root().join("tests/bench/RESULTS.md")).unwrap();
    let readme = readme.split_whitespace().collect::<Vec<_>>().join(" ");
    let sentence = readme.split("**Fast all the same**").nth(1).unwrap();
    let sentence = sentence.split("RESULTS.md").next().unwrap();
    let at_64 = |name: &str| measured(&results, &format!("4 KiB random reads{name}"));
    let (pattern, memory, file) = (
        at_64(", depth 64, `pattern`"),
        at_64(", depth 64, `memory`"),
        at_64(" in cache, depth 64, `file`"),
    );
    assert_eq!(memory, file, "README names both together");
    for said in [
        format!(
            "with 64 reads of 4 KiB in flight, a sandboxed plugin serves {pattern} (`pattern`)"
        ),
        format!("and {memory} (`memory`, `file`) as many as nbdkit's plugins in C"),
        format!(
            "with one in flight it serves {} as many",
            at_64(", depth 1, `pattern`")
        ),
    ] {
        assert!(sentence.contains(&said), "not in README.md: {said}");
    }
}

fn has_file_with_prefix(prefix: &Path) -> bool {
    let name = prefix.file_name().unwrap().to_string_lossy().into_owned();
    let entries = fs::read_dir(prefix.parent().unwrap()).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name())
        .any(|entry| entry.to_string_lossy().starts_with(&name))
}

/// The code of all tests, unit tests included.
fn sources() -> String {
    let files = ["tests/tests", "host"].map(|folder| files_below(&root().join(folder)));
    let is_rust = |path: &PathBuf| path.extension().is_some_and(|end| end == "rs");
    let files = files.into_iter().flatten().filter(is_rust);
    files
        .map(|path| fs::read_to_string(path).unwrap())
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
