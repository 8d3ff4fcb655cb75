//! The expected bytes of the exports, made without the server.

use std::fs;
use std::path::PathBuf;

use nbdbox_tests::{Random, Server};

/// The bytes of the plugin `pattern`: every 8 of them are their own offset, big-endian.
pub(crate) fn pattern(size: usize) -> Vec<u8> {
    let words = (0..size.div_ceil(8) as u64).flat_map(|word| (word * 8).to_be_bytes());
    words.take(size).collect()
}

/// A file of random bytes in a server's folder.
pub(crate) fn random_file(server: &Server, name: &str, size: usize) -> (PathBuf, Vec<u8>) {
    let bytes = Random::seeded(size as u64).bytes(size);
    let path = server.folder().join(name);
    fs::write(&path, &bytes).unwrap();
    (path, bytes)
}

/// A folder with a disk, for the plugin `file`.
pub(crate) struct Disk {
    folder: tempfile::TempDir,
}

impl Disk {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        let folder = tempfile::TempDir::with_prefix("nbdbox-disk-").unwrap();
        fs::write(folder.path().join("disk"), bytes).unwrap();
        Self { folder }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        fs::read(self.path()).unwrap()
    }

    /// Serves the disk with this access.
    pub(crate) fn serve(&self, access: &str) -> Server {
        let grant = format!("disk={}:{access}", self.path().display());
        Server::plugin("file", &["--blob", &grant])
    }
}
