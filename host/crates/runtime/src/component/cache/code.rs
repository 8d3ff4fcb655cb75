//! Code that the compiler writes: memory of this process, before it's kept anywhere.
//!
//! So no disk is needed to serve: not one that has room, and not one that can be written to.

use std::fs::File;
use std::io;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

/// Memory that a compiler may write.
#[derive(Debug)]
pub(super) struct Written(File);

impl Written {
    /// Nothing yet.
    ///
    /// # Errors
    /// There are no descriptors.
    pub(super) fn empty() -> io::Result<Self> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        Ok(Self(memfd_create("nbdbox-compiled", flags)?.into()))
    }

    /// Where the compiler writes.
    ///
    /// # Errors
    /// There are no descriptors.
    pub(super) fn output(&self) -> io::Result<File> {
        self.0.try_clone()
    }

    /// What was written; nobody can change it any more, not even a compiler that still has it.
    ///
    /// # Errors
    /// The kernel can't promise it.
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
    fn what_is_sealed_stays() {
        let code = Written::empty().unwrap();
        let mut compiler = code.output().unwrap();
        compiler.write_all(b"code").unwrap();
        let sealed = code.sealed().unwrap();
        assert!(compiler.write_all(b"more").is_err());
        assert!(compiler.set_len(0).is_err());
        assert_eq!(sealed.metadata().unwrap().len(), 4);
    }
}
