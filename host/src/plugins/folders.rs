//! The folders of plugins, in the order in which nbdbox looks at them.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// The folders of the system.
const SYSTEM: [&str; 2] = ["/usr/local/lib/nbdbox/plugins", "/usr/lib/nbdbox/plugins"];

/// The mode bits that let group and others write.
const OTHERS: u32 = 0o022;

/// The folders of a command line: those that it names, `NBDBOX_PLUGIN_PATH`, those of the home folder, and those of the
/// system.
pub(super) fn of_command_line(said: &[PathBuf]) -> Vec<PathBuf> {
    let mut folders = said.to_vec();
    let path = env::var_os("NBDBOX_PLUGIN_PATH").unwrap_or_default();
    // An empty path would be the working folder.
    folders.extend(env::split_paths(&path).filter(|folder| !folder.as_os_str().is_empty()));
    folders.extend(data_home().map(|home| home.join("nbdbox/plugins")));
    folders.extend(of_system());
    folders
}

/// The folders of a configuration: those that it names, and those of the system.
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

/// The folder beside the program's own, which a build fills. Looked up once, because it can't be looked up behind
/// walls.
static BESIDE: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
    let own = env::current_exe().ok()?;
    Some(own.parent()?.parent()?.join("plugins"))
});

/// Looks up what can't be looked up behind walls.
pub(super) fn prepare() {
    LazyLock::force(&BESIDE);
}

/// Whether a folder exists, and only its owner can write to it. Logs a warning if others can.
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
            "nbdbox ignores the plugins in {}: others than its owner can write to it (mode {:o}); run chmod go-w on it",
            folder.display(),
            mode & 0o7777
        );
        return false;
    }
    true
}
