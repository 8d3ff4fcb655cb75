//! Watches for changes of files: a configuration's, a plugin's, or those of a folder.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use notify::event::ModifyKind;
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// The pause that ends a change. Programs change a file in several steps, and several files in a row.
const QUIET: Duration = Duration::from_millis(200);

/// Watches a file, the configuration files of a folder, or the names of the files in folders.
pub(crate) struct FileWatcher {
    changes: mpsc::Receiver<()>,
    /// Whether a change has begun that [`changed`](Self::changed) hasn't returned yet.
    changed: bool,
    /// Dropping it stops the watch.
    _watcher: RecommendedWatcher,
}

impl FileWatcher {
    /// Begins to watch a file, or the `*.toml` of a folder. Blocks.
    ///
    /// # Errors
    /// The folder doesn't exist, or the kernel allows no more watches.
    pub(crate) fn start(path: &Path) -> anyhow::Result<Self> {
        let named = || format!("can't watch {}", path.display());
        let path = std::path::absolute(path).with_context(named)?;
        let is_folder = path.is_dir();
        // Programs often replace a file by another one with its name, which only the folder's events show.
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

    /// Begins to watch the names of the files in these folders, but not their bytes. Blocks.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
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
                // If the channel is full, a change waits already.
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

    /// Waits for a change, and for its end: a pause without another change. Dropping the future loses no change.
    pub(crate) async fn changed(&mut self) {
        if !self.changed {
            if self.changes.recv().await.is_none() {
                // The watcher has ended, and no change will come.
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
    async fn a_dropped_wait_loses_no_change() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("disk.wasm");
        let mut watcher = FileWatcher::start(&file).unwrap();
        std::fs::write(&file, "one").unwrap();
        let seen = async {
            while !watcher.changed {
                // Shorter than the pause after a change, so each wait is dropped before its end.
                let _ = timeout(QUIET / 10, watcher.changed()).await;
            }
        };
        timeout(QUIET * 100, seen).await.unwrap();
        timeout(QUIET * 100, watcher.changed()).await.unwrap();
        assert!(!watcher.changed);
    }
}
