//! The folders of plugins, in the order in which they are looked at.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// Those of the system.
const SYSTEM: [&str; 2] = ["/usr/local/lib/nbdbox/plugins", "/usr/lib/nbdbox/plugins"];

/// Permission to write for group and others.
const OTHERS: u32 = 0o022;

/// Those of a command line: what it says, `NBDBOX_PLUGIN_PATH`, those of the home folder, and those of the system.
pub(super) fn of_command_line(said: &[PathBuf]) -> Vec<PathBuf> {
    let mut folders = said.to_vec();
    let path = env::var_os("NBDBOX_PLUGIN_PATH").unwrap_or_default();
    // An empty one would be the working folder.
    folders.extend(env::split_paths(&path).filter(|folder| !folder.as_os_str().is_empty()));
    folders.extend(data_home().map(|home| home.join("nbdbox/plugins")));
    folders.extend(of_system());
    folders
}

/// Those of a configuration: what it says, and those of the system.
pub(super) fn of_configuration(said: &[PathBuf]) -> Vec<PathBuf> {
    let mut folders = said.to_vec();
    folders.extend(of_system());
    folders
}

/// "If $XDG_DATA_HOME is either not set or empty, a default equal to $HOME/.local/share should be used", and "all paths
/// … must be absolute" (XDG Base Directory Specification).
fn data_home() -> Option<PathBuf> {
    let absolute = |name: &str| {
        let path = env::var_os(name).map(PathBuf::from);
        path.filter(|path| path.is_absolute())
    };
    absolute("XDG_DATA_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
}

fn of_system() -> impl Iterator<Item = PathBuf> {
    let beside = BESIDE.iter().cloned();
    SYSTEM.into_iter().map(PathBuf::from).chain(beside)
}

/// The folder beside that of the program, which a build fills. Found out once: behind walls nothing tells it.
static BESIDE: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
    let own = env::current_exe().ok()?;
    Some(own.parent()?.parent()?.join("plugins"))
});

/// Finds out what can't be found out behind walls.
pub(super) fn prepare() {
    LazyLock::force(&BESIDE);
}

/// Whether a folder is there, and nobody but its owner can write to it. If others can, a warning says so.
pub(super) fn is_usable(folder: &Path) -> bool {
    let Ok(seen) = outside::files::look(folder) else {
        return false;
    };
    if seen.kind != outside::EntryKind::Folder {
        return false;
    }
    let mode = seen.mode;
    if mode & OTHERS != 0 {
        tracing::warn!(
            target: "nbdbox::plugins",
            "the plugins in {} are left out: others than its owner can write to it (mode {:o}); chmod go-w would do",
            folder.display(),
            mode & 0o7777
        );
        return false;
    }
    true
}
