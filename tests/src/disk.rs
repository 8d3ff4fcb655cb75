//! A file that the plugin `file` serves.

use std::fs::{self, File};
use std::path::PathBuf;

use tempfile::TempDir;

use crate::Server;

/// A disk image in a folder of its own. Dropping it removes both.
#[derive(Debug)]
pub struct Disk {
    folder: TempDir,
}

impl Disk {
    /// An image with these bytes.
    #[must_use]
    pub fn holding(bytes: &[u8]) -> Self {
        let disk = Self {
            folder: TempDir::with_prefix("nbdbox-disk-").unwrap(),
        };
        fs::write(disk.path(), bytes).unwrap();
        disk
    }

    /// An image of `size` bytes, none of which is allocated.
    #[must_use]
    pub fn empty(size: u64) -> Self {
        let disk = Self::holding(&[]);
        disk.resize(size);
        disk
    }

    /// Makes the image longer or shorter while the server has it open.
    pub fn resize(&self, size: u64) {
        let file = File::options().write(true).open(self.path()).unwrap();
        file.set_len(size).unwrap();
    }

    /// The path of the image.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    /// The image's bytes, as the file system has them.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        fs::read(self.path()).unwrap()
    }

    /// Serves the image, writable.
    #[must_use]
    pub fn serve(&self) -> Server {
        let grant = format!("disk={}:rw", self.path().display());
        Server::plugin("file", &["--blob", &grant])
    }
}
