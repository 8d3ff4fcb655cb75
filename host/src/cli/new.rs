//! `nbdbox new`: a folder with a plugin to start from.

mod language;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use clap::Args;

use language::Language;

/// The placeholder for the plugin's name in a template.
const PLACEHOLDER: &str = "{{name}}";

/// The most characters of a name. Restrains authors: longer names become too long for file systems and for the output
/// of `inspect`.
const NAME: usize = 64;

const EXAMPLES: &str = "\
Examples:
  nbdbox new --lang rust mydisk
  nbdbox new --lang python ~/plugins/mydisk
";

/// Makes a folder with a plugin to start from.
///
/// You build it with `make` and check it with `make test`. The kit that it needs is in the folder, its README.md has
/// the commands, and a comment in its source marks where your code goes.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct New {
    /// The language
    #[arg(long, value_enum, value_name = "LANGUAGE")]
    lang: Language,

    /// The folder to make; its last part is the plugin's name
    #[arg(value_name = "NAME")]
    folder: PathBuf,
}

impl New {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let folder = std::path::absolute(&self.folder)?;
        let name = name_of(&folder)?;
        let cant = || format!("can't make {}", self.folder.display());
        write_whole(&folder, |aside| self.lang.write(name, aside)).with_context(cant)?;
        let shown = self.folder.display();
        super::print(&format!(
            "made {shown}: a plugin in {}\n\n  cd {shown}\n  make         builds {name}.wasm\n  \
             make test    checks that it keeps the contract\n\nYour code goes into {}; README.md explains the rest.\n",
            self.lang.title(),
            self.lang.source(),
        ))
    }
}

fn name_of(folder: &Path) -> anyhow::Result<&str> {
    let name = folder.file_name().and_then(|name| name.to_str());
    let name = name.unwrap_or_default();
    let inside = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
    ensure!(
        name.starts_with(|first: char| first.is_ascii_alphabetic())
            && name.chars().all(inside)
            && name.len() <= NAME,
        "`{name}` can't be a plugin's name: a name begins with a letter, and has at most {NAME} letters, \
         digits, `-` and `_`"
    );
    Ok(name)
}

/// Makes a folder in one step: fills a temporary one, and then renames it.
fn write_whole(
    folder: &Path,
    fill: impl FnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    ensure!(!folder.exists(), "it exists already; choose another name");
    let parent = folder
        .parent()
        .context("it has no parent folder: choose another path")?;
    fs::create_dir_all(parent)?;
    let aside = tempfile::Builder::new()
        .prefix(".nbdbox-new-")
        .tempdir_in(parent)?;
    // The temporary folder is private; the umask decides the mode of the folder inside it.
    let filled = aside.path().join("new");
    fs::create_dir(&filled)?;
    fill(&filled)?;
    match fs::rename(&filled, folder) {
        Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {
            bail!("it exists already; choose another name")
        }
        done => Ok(done?),
    }
}
