//! The languages of `nbdbox new`, and the template and the kit of each.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use clap::ValueEnum;
use include_dir::{Dir, DirEntry, include_dir};

use super::PLACEHOLDER;

static TEMPLATES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../guest-sdk/templates");
static WIT: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../wit");
static RUST: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../guest-sdk/src");
static C: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../guest-sdk/c");
static ZIG: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../guest-sdk/zig");
static PYTHON: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../guest-sdk/python");
static JS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../guest-sdk/js");

/// A language that has a kit.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Language {
    Rust,
    C,
    Cpp,
    Zig,
    Python,
    Js,
    Ts,
}

impl Language {
    /// The language's name, for people.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Rust => "Rust",
            Self::C => "C",
            Self::Cpp => "C++",
            Self::Zig => "Zig",
            Self::Python => "Python",
            Self::Js => "JavaScript",
            Self::Ts => "TypeScript",
        }
    }

    /// The file that the author edits.
    pub(super) fn source(self) -> &'static str {
        match self {
            Self::Rust => "src/lib.rs",
            Self::C => "disk.c",
            Self::Cpp => "disk.cpp",
            Self::Zig => "disk.zig",
            Self::Python => "disk.py",
            Self::Js => "disk.js",
            Self::Ts => "disk.ts",
        }
    }

    /// Writes the template and its kit into `folder`. Blocks.
    pub(super) fn write(self, name: &str, folder: &Path) -> anyhow::Result<()> {
        for (kit, place) in self.kit() {
            let place = folder.join(place);
            copy(kit, &place, &|bytes| bytes.to_vec())?;
        }
        let template = match self {
            Self::Rust => "rust",
            Self::C => "c",
            Self::Cpp => "cpp",
            Self::Zig => "zig",
            Self::Python => "python",
            Self::Js => "js",
            Self::Ts => "ts",
        };
        let template = TEMPLATES.get_dir(template).context("no template")?;
        let named = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes);
            text.replace(PLACEHOLDER, name).into_bytes()
        };
        copy(template, folder, &named)?;
        let test = TEMPLATES.get_file("test.sh").context("no test")?;
        Ok(fs::write(folder.join("test.sh"), named(test.contents()))?)
    }

    /// The kit's folders, and the place of each in the new folder.
    fn kit(self) -> Vec<(&'static Dir<'static>, &'static str)> {
        match self {
            Self::Rust => vec![(&RUST, "kit/nbdbox-plugin/src"), (&WIT, "kit/wit")],
            Self::C | Self::Cpp => vec![(&C, "kit")],
            Self::Zig => vec![(&C, "kit"), (&ZIG, "kit")],
            Self::Python => vec![(&PYTHON, "kit"), (&WIT, "kit/wit")],
            Self::Js | Self::Ts => vec![(&JS, "kit"), (&WIT, "kit/wit")],
        }
    }
}

/// Writes the files of a folder below `to`, each changed by `change`.
fn copy(from: &Dir<'_>, to: &Path, change: &dyn Fn(&[u8]) -> Vec<u8>) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in from.entries() {
        let Some(name) = entry.path().file_name() else {
            continue;
        };
        match entry {
            DirEntry::Dir(folder) if name != "__pycache__" => {
                copy(folder, &to.join(name), change)?;
            }
            // A kit's README describes places in the repository.
            DirEntry::File(file) if from.path().parent().is_some() || name != "README.md" => {
                fs::write(to.join(name), change(file.contents()))?;
            }
            _ => {}
        }
    }
    Ok(())
}
