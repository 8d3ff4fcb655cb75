//! A file with the process id.

use std::fs::{self, File, Metadata, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process;

use anyhow::Context as _;

/// A file with the process id. Dropping it removes the file, unless another server has replaced it.
pub(crate) struct PidFile {
    path: PathBuf,
    /// The file, open so that no other file gets its inode number; `None` for a device, which stays.
    made: Option<File>,
}

impl PidFile {
    /// Writes this process's id to a file. Blocks.
    ///
    /// # Errors
    /// The file can't be written.
    pub(crate) fn write(path: PathBuf) -> anyhow::Result<Self> {
        let made = Self::put(&path, &format!("{}\n", process::id()))
            .with_context(|| format!("can't write the pidfile {}", path.display()))?;
        Ok(Self { path, made })
    }

    /// Writes a file in one step: a reader that finds the file finds the whole text.
    fn put(path: &Path, text: &str) -> io::Result<Option<File>> {
        if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
            // For example a device, which it must write and never replace.
            fs::write(path, text)?;
            return Ok(None);
        }
        let folder = path.parent().filter(|folder| *folder != Path::new(""));
        let mut file = tempfile::Builder::new()
            .prefix(".nbdbox-")
            .permissions(Permissions::from_mode(0o644))
            .tempfile_in(folder.unwrap_or(Path::new(".")))?;
        file.write_all(text.as_bytes())?;
        Ok(Some(file.persist(path)?))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        let Some(made) = &self.made else { return };
        let identity = |metadata: Metadata| (metadata.dev(), metadata.ino());
        let (made, there) = (made.metadata(), self.path.symlink_metadata());
        // Another server may have written its own file there.
        if let (Ok(made), Ok(there)) = (made, there)
            && identity(made) == identity(there)
        {
            let _ = fs::remove_file(&self.path);
        }
    }
}
