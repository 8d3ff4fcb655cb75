//! Phrases that are out, over everything that a person reads. It's a net for the house's old dialect; reading aloud is the
//! real check (CONTRIBUTING.md).
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::fs;
use std::path::Path;
use std::process::Command;

use nbdbox_tests::nbdbox;

/// A phrase, in lower case, and the better one.
const OUT: &[(&str, &str)] = &[
    ("but for", "except"),
    ("whoever", "the client, operator or process that"),
    ("who has no", "if a client has no"),
    ("who have no", "if clients have no"),
    ("who comes", "the client that connects"),
    ("who waits", "the request that is queued"),
    ("who asks", "the client that requests it"),
    ("that which", "the thing, by its name"),
    ("so many", "n, or \"that many\""),
    ("so much", "n bytes, or \"that much\""),
    ("is told", "gets, learns"),
    ("are told", "get, learn"),
    ("nobody's", "no client's, no tenant's"),
    ("goes over to", "changes to"),
    ("go over to", "change to"),
    ("had at once", "gets it at once"),
    (
        "the operator's words",
        "the command line and the configuration",
    ),
    ("with a heavy heart", "only if nothing else works"),
    ("changed its mind", "failed after it had begun"),
    ("has no place", "no place is free"),
    ("crates.io", "the Rust package registry"),
    ("npmjs", "the JavaScript package registry"),
    ("pypi.org", "the Python package index"),
];

/// Texts that aren't the house's own words, or that quote the phrases.
const EXCEPT: &[&str] = &[
    "tests/tests/words.rs",
    "tests/spec/requirements.toml",
    "tests/SPEC.md",
    "Cargo.lock",
    "package-lock.json",
];

/// The endings of files that people read.
const READ: &[&str] = &[
    "md", "rs", "wit", "toml", "sh", "py", "c", "h", "cpp", "hpp", "zig", "js", "ts", "json",
    "service",
];

#[test]
fn no_phrase_of_the_old_dialect_is_left_in_the_tree() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let listed = Command::new("git")
        .args(["ls-files", "-z"])
        .current_dir(&root)
        .output()
        .unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let mut found = Vec::new();
    let mut files = 0;
    for path in listed.split('\0').filter(|path| is_read(path)) {
        // One that was removed and not committed is still listed.
        let Ok(text) = fs::read_to_string(root.join(path)) else {
            continue;
        };
        files += 1;
        found.extend(phrases(path, &text));
    }
    assert!(files > 500, "only {files} files: is this a git checkout?");
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn no_phrase_of_the_old_dialect_is_left_in_the_help() {
    let help = |words: &[&str]| {
        let output = Command::new(nbdbox())
            .args(words)
            .arg("--help")
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let all = help(&[]);
    let commands = all.split("Commands:").nth(1).unwrap();
    let commands = commands.lines().skip(1).map_while(|line| {
        let word = line.strip_prefix("  ")?.split_whitespace().next()?;
        Some(word.to_owned())
    });
    let mut found = phrases("nbdbox --help", &all);
    for command in commands.filter(|command| command != "help") {
        found.extend(phrases(
            &format!("nbdbox {command} --help"),
            &help(&[&command]),
        ));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_phrase_is_found_across_lines_and_only_as_whole_words() {
    let found = phrases("a.md", "All\n/// of them, but\n/// for one.");
    assert_eq!(found, ["a.md:2: `but for`; better: except"]);
    assert!(phrases("a.md", "attribut fortune, and so manyfold").is_empty());
}

fn is_read(path: &str) -> bool {
    let ending = Path::new(path)
        .extension()
        .and_then(|ending| ending.to_str());
    ending.is_some_and(|ending| READ.contains(&ending))
        && !EXCEPT.iter().any(|except| path.ends_with(except))
}

/// The phrases in a text, each with its line. Marks of comments and line breaks count as spaces.
fn phrases(path: &str, text: &str) -> Vec<String> {
    let words: Vec<(usize, String)> = text
        .lines()
        .enumerate()
        .flat_map(|(line, text)| {
            let words = text.split_whitespace();
            let words =
                words.filter(|word| !matches!(*word, "//" | "///" | "//!" | "#" | "*" | "-" | ";"));
            words.map(move |word| (line + 1, word.to_lowercase()))
        })
        .collect();
    let mut found = Vec::new();
    for (phrase, better) in OUT {
        let wanted: Vec<&str> = phrase.split(' ').collect();
        for window in words.windows(wanted.len()) {
            let is_match = window.iter().zip(&wanted).all(|((_, word), wanted)| {
                let is_edge = |c: char| !c.is_alphanumeric() && c != '.';
                let word = word.trim_matches(is_edge).trim_end_matches('.');
                let hosts = wanted.contains('.') || *wanted == "npmjs";
                word == *wanted || (hosts && word.contains(wanted))
            });
            if is_match {
                found.push(format!(
                    "{path}:{}: `{phrase}`; better: {better}",
                    window[0].0
                ));
            }
        }
    }
    found
}
