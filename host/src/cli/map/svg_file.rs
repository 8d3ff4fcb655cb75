//! Writes an SVG file so that it's either complete or not there.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use tempfile::NamedTempFile;

/// The permissions of a new file, before the umask.
const MODE: u32 = 0o666;

/// An unfinished file. It gets its name when it's complete; dropping it before that removes it.
pub(super) struct SvgFile {
    path: PathBuf,
    kind: Kind,
}

enum Kind {
    /// A temporary file, to be renamed.
    Temporary(NamedTempFile),
    /// A terminal, a pipe or a device, which can't be renamed.
    Special(File),
}

impl SvgFile {
    pub(super) fn create(path: &Path) -> anyhow::Result<Self> {
        Self::open(path).with_context(|| cant_write(path))
    }

    fn open(path: &Path) -> anyhow::Result<Self> {
        // If the path is a link, the file that it leads to is replaced, not the link.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let kind = match fs::metadata(&path) {
            Ok(there) if there.is_dir() => bail!("it's a folder"),
            Ok(there) if !there.is_file() => {
                Kind::Special(OpenOptions::new().write(true).open(&path)?)
            }
            Ok(there) => {
                // A file that this process may not write mustn't be replaced either.
                OpenOptions::new().write(true).open(&path)?;
                Kind::Temporary(beside(&path, there.permissions())?)
            }
            Err(_) => Kind::Temporary(beside(&path, Permissions::from_mode(MODE))?),
        };
        Ok(Self { path, kind })
    }

    /// The file's path, for messages.
    pub(super) fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// A handle to write to.
    pub(super) fn handle(&self) -> io::Result<File> {
        match &self.kind {
            Kind::Temporary(file) => file.as_file().try_clone(),
            Kind::Special(file) => file.try_clone(),
        }
    }

    /// Gives the complete file its name.
    pub(super) fn keep(self) -> anyhow::Result<()> {
        if let Kind::Temporary(file) = self.kind {
            let kept = file.persist(&self.path).map_err(|error| error.error);
            kept.with_context(|| cant_write(&self.path))?;
        }
        Ok(())
    }
}

fn beside(path: &Path, permissions: Permissions) -> io::Result<NamedTempFile> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    tempfile::Builder::new()
        .prefix(".nbdbox-")
        .suffix(".svg")
        .permissions(permissions)
        .tempfile_in(folder)
        .map_err(without_path)
}

/// Removes the temporary file's name from an error: it means nothing to the user.
fn without_path(error: io::Error) -> io::Error {
    let cause = error.get_ref().and_then(|inner| inner.source());
    match cause.and_then(|cause| cause.downcast_ref::<io::Error>()) {
        Some(cause) => cause
            .raw_os_error()
            .map_or_else(|| cause.kind().into(), io::Error::from_raw_os_error),
        None => error,
    }
}

fn cant_write(path: &Path) -> String {
    format!("can't write {}", path.display())
}
