//! Plugins by name: the folders in which nbdbox looks for them, and the plugins that it finds there.
//!
//! The first folder with a name counts. nbdbox ignores a folder that others than its owner can write to: somebody who could
//! put a file there would decide what runs with an operator's grants.

mod folders;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{anyhow, bail};
use nbdbox_config::native::NativeName;
use nbdbox_config::reference::{Reference, is_name, nearest};
use outside::{Entry, EntryKind, Right, Rights, files};

/// The most entries of a folder that are read. Restrains an operator who named the wrong folder.
const MOST: usize = 4096;

/// The folders in which nbdbox looks for plugins by name.
#[derive(Debug)]
pub(crate) struct Plugins {
    /// All folders, in their order, as they were given.
    folders: Vec<PathBuf>,
    /// The folders that can be used, checked when the first name is looked up.
    usable: OnceLock<Vec<PathBuf>>,
}

/// A plugin that was found by its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) file: PathBuf,
}

impl Plugins {
    /// The folders of a command line: `said`, which are those of `--plugin-path`, come before those of the environment.
    pub(crate) fn of_command_line(said: &[PathBuf]) -> Self {
        Self::of(folders::of_command_line(said))
    }

    /// The folders of a configuration: without those of the environment and of the home folder.
    pub(crate) fn of_configuration(said: &[PathBuf]) -> Self {
        Self::of(folders::of_configuration(said))
    }

    fn of(folders: Vec<PathBuf>) -> Self {
        Self {
            folders,
            usable: OnceLock::new(),
        }
    }

    /// Adds the rights that a server needs to find plugins by name and to read them.
    pub(crate) fn rights(&self, rights: &mut Rights) {
        for folder in &self.folders {
            rights.allow(folder, Right::List);
            rights.allow_in(folder, Some("wasm"), &[Right::Read, Right::Code]);
        }
    }

    /// The file that a reference names. Blocks.
    ///
    /// # Errors
    /// No plugin has the name, and the text has the nearest one; the reference is to a registry, which this build can't
    /// use.
    pub(crate) fn file(&self, reference: &Reference) -> anyhow::Result<PathBuf> {
        match reference {
            Reference::Path(path) => Ok(path.clone()),
            Reference::Name(name) => self.named(name),
            Reference::Registry(artifact) => bail!(
                "{artifact} is in a registry, which this build can't use: fetch the plugin's file, and give its path"
            ),
        }
    }

    fn named(&self, name: &str) -> anyhow::Result<PathBuf> {
        let files = self.usable().iter().map(|folder| file(folder, name));
        if let Some(found) = files.into_iter().find(|file| is_file(file)) {
            return Ok(found);
        }
        if NativeName::named(name).is_some() {
            bail!(
                "`{name}` is a filter of the host's own, which has no file: put it over a plugin with --filter {name}"
            );
        }
        let all = self.all();
        let found = all.iter().map(|named| &named.name[..]);
        let own = NativeName::ALL.iter().map(|own| own.as_str());
        let similar = match nearest(name, found.chain(own)) {
            Some(similar) => format!("; did you mean `{similar}`?"),
            None => String::new(),
        };
        let file = match is_file(Path::new(name)) {
            true => format!("; for the file here, write ./{name}"),
            false => format!(" (a file of that name would be ./{name})"),
        };
        let folders = self
            .folders
            .iter()
            .map(|folder| folder.display().to_string());
        let folders: Vec<String> = folders.collect();
        Err(anyhow!(
            "there is no plugin `{name}`{similar}{file}: `nbdbox plugins` lists those in {}",
            folders.join(", ")
        ))
    }

    /// All plugins that are found, by name. Blocks.
    pub(crate) fn all(&self) -> Vec<Named> {
        let mut all: Vec<Named> = Vec::new();
        for folder in self.usable() {
            let Ok(entries) = files::list(folder, MOST) else {
                continue;
            };
            for Entry { path, .. } in entries {
                let is_plugin = path.extension() == Some(OsStr::new("wasm"));
                let stem = path.file_stem().and_then(OsStr::to_str);
                let Some(name) = stem.filter(|name| is_plugin && is_name(name)) else {
                    continue;
                };
                let is_shadowed = all.iter().any(|named| named.name == name);
                if !is_shadowed && is_file(&path) {
                    let name = name.to_owned();
                    all.push(Named { name, file: path });
                }
            }
        }
        all.sort();
        all
    }

    fn usable(&self) -> &[PathBuf] {
        self.usable.get_or_init(|| {
            let folders = self.folders.iter().cloned();
            folders
                .filter(|folder| folders::is_usable(folder))
                .collect()
        })
    }
}

/// Looks up what can't be looked up behind walls.
pub(crate) fn prepare() {
    folders::prepare();
}

fn is_file(path: &Path) -> bool {
    files::look(path).is_ok_and(|seen| seen.kind == EntryKind::File)
}

fn file(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.wasm"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_first_folder_counts_and_a_misspelt_name_gets_the_nearest() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        for path in ["one", "two"] {
            fs::create_dir(at(path)).unwrap();
        }
        for path in [
            "one/qcow2.wasm",
            "two/qcow2.wasm",
            "two/cow.wasm",
            "two/Odd.wasm",
            "two/notes",
        ] {
            fs::write(at(path), "").unwrap();
        }
        fs::create_dir(at("two/folder.wasm")).unwrap();
        let plugins = Plugins::of(vec![at("none"), at("one"), at("two")]);
        let names: Vec<_> = plugins.all().into_iter().map(|named| named.file).collect();
        assert_eq!(names, [at("two/cow.wasm"), at("one/qcow2.wasm")]);
        let find = |name: &str| plugins.file(&Reference::parse(name.as_ref()).unwrap());
        assert_eq!(find("qcow2").unwrap(), at("one/qcow2.wasm"));
        assert_eq!(find("./qcow2").unwrap(), Path::new("./qcow2"));
        for (name, words) in [
            ("qcow3", "did you mean `qcow2`?"),
            ("folder", "./folder"),
            ("dealy", "did you mean `delay`?"),
            ("delay", "--filter delay"),
            ("kubernetes", "there is no plugin `kubernetes` ("),
            ("oci://h/a", "this build can't use"),
        ] {
            let error = find(name).unwrap_err().to_string();
            assert!(error.contains(words), "{name}: {error}");
        }
    }
}
