//! A file with the process id.

use std::fs::{self, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process;

use anyhow::Context as _;

/// A file with the process id, removed at the end.
pub(super) struct PidFile(PathBuf);

impl PidFile {
    /// Writes this process's id to a file.
    ///
    /// # Errors
    /// It can't be written.
    pub(super) fn write(path: PathBuf) -> anyhow::Result<Self> {
        Self::put(&path, &format!("{}\n", process::id()))
            .with_context(|| format!("can't write the pidfile {}", path.display()))?;
        Ok(Self(path))
    }

    /// Whole at once: who sees the file sees the number.
    fn put(path: &Path, text: &str) -> io::Result<()> {
        if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
            // A device, say: to be written, never to be replaced.
            return fs::write(path, text);
        }
        let folder = path.parent().filter(|folder| *folder != Path::new(""));
        let mut file = tempfile::Builder::new()
            .prefix(".nbdbox-")
            .permissions(Permissions::from_mode(0o644))
            .tempfile_in(folder.unwrap_or(Path::new(".")))?;
        file.write_all(text.as_bytes())?;
        file.persist(path)?;
        Ok(())
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if self
            .0
            .symlink_metadata()
            .is_ok_and(|metadata| metadata.is_file())
        {
            // Somebody else may have removed it.
            let _ = fs::remove_file(&self.0);
        }
    }
}
