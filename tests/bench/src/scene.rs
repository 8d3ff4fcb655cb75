//! What all rows share: the program under test, and files with known contents, made at the first use.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::fs::{Advice, fadvise};
use tempfile::TempDir;

use crate::cores::Cores;

const MIB: u64 = 1 << 20;

/// The bytes of the file for random reads. It fits in the page cache of any machine that can build nbdbox.
pub(crate) const DATA: u64 = 1 << 30;

pub(crate) struct Scene {
    pub(crate) nbdbox: PathBuf,
    pub(crate) seconds: Duration,
    /// The cores of pinned rows; `None` if this machine has only one.
    pub(crate) cores: Option<Cores>,
    /// A folder on a disk: below `target`, not in `/tmp`, which may be in memory.
    folder: TempDir,
}

impl Scene {
    pub(crate) fn new(nbdbox: &Path, seconds: Duration) -> anyhow::Result<Self> {
        ensure!(
            nbdbox.exists(),
            "{} isn't built: make build",
            nbdbox.display()
        );
        let folder = tempfile::Builder::new()
            .prefix("bench-")
            .tempdir_in("target")
            .context("run this from the project's root, after make build and make plugins")?;
        Ok(Self {
            nbdbox: nbdbox.to_owned(),
            seconds,
            cores: Cores::of_this_machine()?,
            folder,
        })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file without holes, in the page cache.
    pub(crate) fn full(&self) -> anyhow::Result<PathBuf> {
        self.file("full.img", |file| {
            let block = noise();
            let mut file = BufWriter::with_capacity(1 << 20, file);
            for _ in 0..DATA / MIB {
                file.write_all(&block)?;
            }
            Ok(file.flush()?)
        })
    }

    /// A file of 4 GiB, of which every other MiB is a hole.
    pub(crate) fn half(&self) -> anyhow::Result<PathBuf> {
        self.file("half.img", |file| {
            let block = noise();
            file.set_len(4 << 30)?;
            for at in (0..4 << 10).step_by(2) {
                file.write_all_at(&block, at * MIB)?;
            }
            Ok(())
        })
    }

    /// A file of 1 TiB with 4096 islands of 64 KiB.
    pub(crate) fn huge(&self) -> anyhow::Result<PathBuf> {
        self.file("huge.img", |file| {
            file.set_len(1 << 40)?;
            for at in 0..4096 {
                file.write_all_at(&noise()[..64 << 10], at << 28)?;
            }
            Ok(())
        })
    }

    /// The file of [`full`](Self::full) as a qcow2 image.
    pub(crate) fn image(&self) -> anyhow::Result<PathBuf> {
        self.converted(&self.full()?, "full.qcow2", &[])
    }

    /// A qcow2 image of 10 GiB with 2 MiB of data in each 10.
    pub(crate) fn sparse_image(&self) -> anyhow::Result<PathBuf> {
        let raw = self.file("fifth.img", |file| {
            let block = noise();
            file.set_len(10 << 30)?;
            for at in (0..10 << 10).step_by(10) {
                file.write_all_at(&block, at * MIB)?;
                file.write_all_at(&block, (at + 1) * MIB)?;
            }
            Ok(())
        })?;
        self.converted(&raw, "fifth.qcow2", &[])
    }

    /// A compressed qcow2 image of 256 MiB; a quarter of each page is noise.
    pub(crate) fn compressed_image(&self) -> anyhow::Result<PathBuf> {
        let raw = self.file("pages.img", |file| {
            let mut block = noise();
            for page in block.chunks_mut(4096) {
                page[1024..].fill(0x20);
            }
            (0..256).try_for_each(|at| Ok(file.write_all_at(&block, at * MIB)?))
        })?;
        self.converted(&raw, "pages.qcow2", &["-c"])
    }

    /// A raw file that QEMU's tool converted to qcow2.
    fn converted(&self, raw: &Path, name: &str, options: &[&str]) -> anyhow::Result<PathBuf> {
        let image = self.path(name);
        if !image.exists() {
            let status = Command::new("qemu-img")
                .args(["convert", "-f", "raw", "-O", "qcow2"])
                .args(options)
                .args([raw, image.as_path()])
                .status()?;
            ensure!(status.success(), "qemu-img can't make {name}");
        }
        make_warm(&image)?;
        Ok(image)
    }

    fn file(
        &self,
        name: &str,
        fill: impl FnOnce(&File) -> anyhow::Result<()>,
    ) -> anyhow::Result<PathBuf> {
        let path = self.path(name);
        if !path.exists() {
            let file = File::create(&path)?;
            fill(&file)?;
            file.sync_all()?;
        }
        Ok(path)
    }

    /// The nbdkit plugin `tests/bench/extents.c`, compiled.
    pub(crate) fn c_plugin(&self) -> anyhow::Result<PathBuf> {
        let plugin = self.path("nbdkit-extents-plugin.so");
        if !plugin.exists() {
            let status = Command::new("cc")
                .args(["-O2", "-shared", "-fPIC", "-o"])
                .arg(&plugin)
                .arg("tests/bench/extents.c")
                .status()?;
            ensure!(status.success(), "tests/bench/extents.c doesn't compile");
        }
        Ok(fs::canonicalize(plugin)?)
    }
}

/// A MiB of bytes that nothing compresses or deduplicates.
fn noise() -> Vec<u8> {
    let mut bytes = vec![0; 1 << 20];
    fastrand::Rng::with_seed(1).fill(&mut bytes);
    bytes
}

/// Drops a file from the page cache.
pub(crate) fn make_cold(path: &Path) -> anyhow::Result<()> {
    Ok(fadvise(File::open(path)?, 0, None, Advice::DontNeed)?)
}

/// Reads a file into the page cache.
pub(crate) fn make_warm(path: &Path) -> anyhow::Result<()> {
    std::io::copy(&mut File::open(path)?, &mut std::io::sink())?;
    Ok(())
}
