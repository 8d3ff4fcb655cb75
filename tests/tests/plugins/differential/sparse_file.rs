//! Files with random holes, and what other programs report of them.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use nbdbox_tests::{Random, Server, run};
use tempfile::TempDir;

/// A folder with one sparse file, or with several equal ones.
pub(crate) struct SparseFiles {
    folder: TempDir,
}

impl SparseFiles {
    /// Files of `size` bytes, with data at the same random places.
    pub(crate) fn new(names: &[&str], size: u64, random: &Random) -> Self {
        let folder = TempDir::with_prefix("nbdbox-sparse-").unwrap();
        let files = Self { folder };
        for name in names {
            // Each file from the same state of the generator.
            fill(&files.path(name), size, &mut random.clone());
        }
        files
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// `nbdbox serve file.wasm` with this file.
    pub(crate) fn serve(&self, name: &str, access: &str) -> Server {
        let grant = format!("disk={}:{access}", self.path(name).display());
        Server::plugin("file", &["--blob", &grant])
    }
}

fn fill(path: &Path, size: u64, random: &mut Random) {
    let file = File::create(path).unwrap();
    file.set_len(size).unwrap();
    for _ in 0..size / (128 << 10) {
        let (offset, length) = random.range(size, 40_000);
        let bytes = random.bytes(usize::try_from(length).unwrap());
        file.write_all_at(&bytes, offset).unwrap();
    }
    // The file system decides at the sync what is allocated.
    file.sync_all().unwrap();
}

/// The maps of an export by two clients, as JSON.
pub(crate) fn maps(uri: &str) -> [String; 2] {
    [
        run("nbdinfo", ["--map", "--json", uri]).ok(),
        run("qemu-img", ["map", "-f", "raw", "--output=json", uri]).ok(),
    ]
}
