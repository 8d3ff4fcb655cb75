//! The memory that a compiler writes its code to, before the cache keeps it.
//!
//! So a server can work without a disk, with a full one, or with a read-only one.

use std::fs::File;
use std::io;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

/// Memory that a compiler's process can write to.
#[derive(Debug)]
pub(super) struct Written(File);

impl Written {
    /// Makes an empty memory file.
    ///
    /// # Errors
    /// The process has no descriptors left.
    pub(super) fn empty() -> io::Result<Self> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        Ok(Self(memfd_create("nbdbox-compiled", flags)?.into()))
    }

    /// Returns a descriptor for the compiler to write to.
    ///
    /// # Errors
    /// The process has no descriptors left.
    pub(super) fn output(&self) -> io::Result<File> {
        self.0.try_clone()
    }

    /// Returns what the compiler wrote. From now on nobody can change it, not even a compiler that still has its
    /// descriptor.
    ///
    /// # Errors
    /// The kernel can't seal the memory.
    pub(super) fn sealed(self) -> io::Result<File> {
        fcntl_add_seals(
            &self.0,
            SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL,
        )?;
        Ok(self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_sealed_file_cannot_change() {
        let code = Written::empty().unwrap();
        let mut compiler = code.output().unwrap();
        compiler.write_all(b"code").unwrap();
        let sealed = code.sealed().unwrap();
        assert!(compiler.write_all(b"more").is_err());
        assert!(compiler.set_len(0).is_err());
        assert_eq!(sealed.metadata().unwrap().len(), 4);
    }
}
