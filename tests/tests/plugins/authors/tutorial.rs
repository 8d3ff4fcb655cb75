//! Follows the tutorial as a newcomer would: its commands print what it shows, and its changes apply.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::new::{RUST, shell};

/// A fenced block: its language, and its lines.
type Block = (String, String);

fn blocks() -> Vec<Block> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = fs::read_to_string(root.join("guest-sdk/TUTORIAL.md")).unwrap();
    let inside = text.split("```").skip(1).step_by(2);
    let blocks = inside.map(|block| block.split_once('\n').unwrap());
    blocks
        .map(|(language, lines)| (language.to_owned(), lines.to_owned()))
        .collect()
}

/// Applies a diff. Each removed line must be in the file exactly once.
fn apply(folder: &Path, diff: &str) {
    let file = diff.lines().next().unwrap().strip_prefix("--- ").unwrap();
    let path = folder.join(file);
    let mut text = fs::read_to_string(&path).unwrap();
    for hunk in diff.split("\n@@ ").skip(1) {
        let lines = hunk.lines().skip(1);
        let side = |other: char| {
            let kept = lines.clone().filter(move |line| !line.starts_with(other));
            let kept = kept.map(|line| line.get(1..).unwrap_or_default().to_owned() + "\n");
            kept.collect::<String>()
        };
        let (old, new) = (side('+'), side('-'));
        assert_eq!(text.matches(&old).count(), 1, "{file}:\n{old}");
        text = text.replace(&old, &new);
    }
    fs::write(path, text).unwrap();
}

#[test]
fn every_step_of_the_tutorial_does_what_it_says() {
    let _turn = RUST.lock();
    let parent = TempDir::with_prefix("nbdbox-tutorial-").unwrap();
    let mut at: PathBuf = parent.path().to_owned();
    let (mut printed, mut steps) = (String::new(), 0);
    for (language, text) in blocks() {
        match &language[..] {
            "sh" => {
                let ran = shell(&at, &text);
                assert_eq!(ran.code, 0, "{text}{}{}", ran.stdout, ran.stderr);
                printed = ran.stdout;
                // The folder to which `cd` has gone.
                at = if text.contains("\ncd ") {
                    at.join("mydisk")
                } else {
                    at
                };
                steps += 1;
            }
            "text" => assert!(
                printed.ends_with(&text),
                "{text}\nis not the end of\n{printed}"
            ),
            "diff" => apply(&at, &text),
            // Commands that run until they are ended: the tests of `dev` have them.
            "console" => {}
            other => panic!("{other}"),
        }
    }
    assert!(steps >= 7);
}
