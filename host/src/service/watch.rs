//! Notices when files change: the configuration's, or a plugin's.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use notify::event::ModifyKind;
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Files are changed in several steps, and several at once: the pause after which it was all.
const QUIET: Duration = Duration::from_millis(200);

/// Watches a file, the configuration files of a folder, or which files folders have.
pub(crate) struct FileWatcher {
    changes: mpsc::Receiver<()>,
    /// A change was seen, and nobody has heard of it.
    changed: bool,
    /// Stops when it's dropped.
    _watcher: RecommendedWatcher,
}

impl FileWatcher {
    /// Begins to watch a file, or the `*.toml` of a folder.
    pub(crate) fn start(path: &Path) -> anyhow::Result<Self> {
        let named = || format!("can't watch {}", path.display());
        let path = std::path::absolute(path).with_context(named)?;
        let is_folder = path.is_dir();
        // A file is often replaced by another of its name: its folder sees that.
        let folder = match path.parent() {
            Some(parent) if !is_folder => parent.to_owned(),
            _ => path.clone(),
        };
        let concerns = move |changed: &PathBuf| match is_folder {
            true => changed.extension().is_some_and(|end| end == "toml"),
            false => *changed == path,
        };
        Self::watch([&*folder], move |event| {
            !matches!(event.kind, EventKind::Access(_)) && event.paths.iter().any(&concerns)
        })
    }

    /// Begins to watch which files there are in these folders, whatever becomes of their bytes.
    pub(crate) fn start_names<'a>(
        folders: impl IntoIterator<Item = &'a Path>,
    ) -> anyhow::Result<Self> {
        Self::watch(folders, |event| {
            matches!(
                event.kind,
                EventKind::Create(_)
                    | EventKind::Remove(_)
                    | EventKind::Modify(ModifyKind::Name(_))
            )
        })
    }

    fn watch<'a>(
        folders: impl IntoIterator<Item = &'a Path>,
        concerns: impl Fn(&Event) -> bool + Send + 'static,
    ) -> anyhow::Result<Self> {
        let (tell, changes) = mpsc::channel(1);
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            if event.is_ok_and(|event| concerns(&event)) {
                // One that waits to be seen is enough.
                let _ = tell.try_send(());
            }
        })
        .context("can't watch files")?;
        for folder in folders {
            watcher
                .watch(folder, RecursiveMode::NonRecursive)
                .with_context(|| format!("can't watch {}", folder.display()))?;
        }
        Ok(Self {
            changes,
            changed: false,
            _watcher: watcher,
        })
    }

    /// Waits for a change, and for the end of what changes with it. Dropping it loses no change.
    pub(crate) async fn changed(&mut self) {
        if !self.changed {
            if self.changes.recv().await.is_none() {
                // The watcher is gone: nothing will be noticed.
                std::future::pending::<()>().await;
            }
            self.changed = true;
        }
        while let Ok(Some(())) = timeout(QUIET, self.changes.recv()).await {}
        self.changed = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_change_is_not_lost_when_nobody_waits_for_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("disk.wasm");
        let mut watcher = FileWatcher::start(&file).unwrap();
        std::fs::write(&file, "one").unwrap();
        let seen = async {
            while !watcher.changed {
                // Shorter than the pause after a change: it never gets to the end.
                let _ = timeout(QUIET / 10, watcher.changed()).await;
            }
        };
        timeout(QUIET * 100, seen).await.unwrap();
        timeout(QUIET * 100, watcher.changed()).await.unwrap();
        assert!(!watcher.changed);
    }
}
