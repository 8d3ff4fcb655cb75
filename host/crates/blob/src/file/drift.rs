//! Changes of a file since it was opened.

use rustix::fs::SeekFrom;

use super::FileSource;
use crate::source::{Facts, Identity};

impl FileSource {
    /// The present size in bytes; 0 if the kernel doesn't report it. Blocks.
    pub(crate) fn size_now(&self) -> u64 {
        rustix::fs::seek(self.file(), SeekFrom::End(0)).unwrap_or(0)
    }

    /// Whether its path still leads to it. Blocks.
    pub(crate) fn is_at_its_path(&self) -> bool {
        let found = outside::files::look(&self.open.path);
        found.is_ok_and(|found| {
            let (device, inode) = (found.device, found.inode);
            Identity::File { device, inode } == self.facts().identity
        })
    }

    /// The same open file with its present size, if it has grown. Blocks.
    pub(crate) fn renewed(&self) -> Self {
        let size = self.size_now().max(self.facts().size);
        let facts = self.facts().clone();
        self.with(Facts { size, ..facts }, self.work().clone())
    }
}
