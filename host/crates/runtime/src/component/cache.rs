//! The compile cache: machine code, by the digest of the file that it was compiled from.
//!
//! Its folder is private to the operator's account, because anybody who can write there can run code as nbdbox. The
//! cache checks that at the start, and for the same reason nbdbox rejects precompiled files from anywhere else. The
//! cache checks each file against its digest before it uses the file, and keeps the folder within a size.

mod code;
mod from_keeper;
mod keeping;

use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::fs::{self, File};
use std::hash::{Hash as _, Hasher as _};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use device::metrics::CompileMetrics;
use lanes::Work;
use nbdbox_config::limits::{COMPILER_TIME, COMPONENT};
use nbdbox_config::size::Bytes;
use outside::Keeper;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use self::code::Written;
use crate::component::artifact::{Artifact, Unusable};
use crate::component::compile;

pub use crate::component::artifact::Checked;

/// The path of this program, even if its file has been replaced since (proc(5)).
const OWN_PROGRAM: &str = "/proc/self/exe";

/// The version of the files' layout and of the footprints in them. It changes with either.
const FORMAT: u32 = 2;

/// The size in bytes of a cache's folder, unless the operator sets another. Restrains plugins that come and go from
/// filling the disk: a server that compiles each night's build would otherwise keep all of them.
pub const SIZE: u64 = 2 << 30;

/// The SHA-256 of a plugin's file. Displays as 64 hexadecimal digits.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Reads a plugin's file and computes its digest. Blocks.
    ///
    /// # Errors
    /// The file can't be read, or is larger than a plugin may be.
    pub fn of_file(path: &Path) -> anyhow::Result<Self> {
        Ok(Component::read(path)?.digest)
    }

    /// The 32 bytes of the digest.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{self}")
    }
}

/// A folder of compiled code, and the way to compile more.
#[derive(Debug)]
pub struct Cache {
    /// `None` if the cache keeps nothing.
    folder: Option<PathBuf>,
    /// The program that compiles.
    program: PathBuf,
    /// The most time that one compilation may take.
    time: Duration,
    /// The most bytes that the folder may hold.
    size: u64,
    metrics: Arc<CompileMetrics>,
    /// The folder of a cache for this process alone. Dropping it removes the folder.
    _temporary: Option<TempDir>,
}

/// The content of a plugin's file, and its digest.
pub(crate) struct Component {
    pub(crate) bytes: Vec<u8>,
    pub(crate) digest: Digest,
}

/// Compiled code of a plugin's file, ready to make instances.
pub(crate) struct Compiled {
    pub(crate) artifact: Artifact,
    /// The digest of the plugin's file.
    pub(crate) digest: Digest,
    /// The size of the plugin's file in bytes.
    pub(crate) size: u64,
    /// The time that compiling took; `None` if the cache had the code.
    pub(crate) compile_time: Option<Duration>,
}

/// Compiled code in a file, for a process that passes it on to another.
#[derive(Debug)]
pub struct Code {
    /// The file with the code.
    pub file: Checked,
    /// The digest of the plugin's file.
    pub digest: Digest,
    /// The size of the plugin's file in bytes.
    pub size: u64,
    /// The time that compiling took; `None` if the cache had the code.
    pub compile_time: Option<Duration>,
}

/// The reason why a file can't be a plugin.
#[derive(Debug)]
pub struct Refused {
    /// The file's digest; `None` if the file couldn't be read.
    pub digest: Option<Digest>,
    /// The reason, which names the file.
    pub error: anyhow::Error,
}

impl Cache {
    /// The operator's cache: in `$XDG_CACHE_HOME/nbdbox`, `$CACHE_DIRECTORY/nbdbox` or `~/.cache/nbdbox`; without a
    /// home, a cache for this process alone. If the folder can't be used, it logs a warning and returns such a cache,
    /// because a cache only saves time. A process behind walls gets no cache: its keeper has it. Blocks.
    #[must_use]
    pub fn default_folder() -> Self {
        if Keeper::get().is_some() {
            return Self::made(None, None);
        }
        let absolute = |name: &str| {
            std::env::var_os(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        let base = absolute("XDG_CACHE_HOME")
            .or_else(|| absolute("CACHE_DIRECTORY"))
            .or_else(|| absolute("HOME").map(|home| home.join(".cache")));
        match base {
            Some(base) => Self::folder(&base.join("nbdbox")),
            None => Self::temporary(),
        }
    }

    /// A cache in this folder, which it makes if it doesn't exist. If it can't make the folder, or others can write to
    /// it, it logs a warning and returns a cache for this process alone. Blocks.
    #[must_use]
    pub fn folder(folder: &Path) -> Self {
        if Keeper::get().is_some() {
            return Self::made(None, None);
        }
        match private(folder) {
            Ok(()) => Self::made(Some(folder.to_owned()), None),
            Err(error) => {
                tracing::warn!(
                    "can't use the compile cache {}, so nbdbox compiles plugins for this run alone, which takes time \
                     at each start: {error:#}",
                    folder.display()
                );
                Self::temporary()
            }
        }
    }

    /// A cache for this process alone. If there's no place for temporary files, it keeps nothing. Blocks.
    #[must_use]
    pub fn temporary() -> Self {
        // The default mode depends on the umask, so others might get in.
        let temporary = tempfile::Builder::new()
            .prefix("nbdbox-")
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir();
        // Without a folder, the compiled code stays in memory, which has room for all code that runs.
        let temporary = temporary.ok();
        let folder = temporary.as_ref().map(|folder| folder.path().to_owned());
        Self::made(folder, temporary)
    }

    fn made(folder: Option<PathBuf>, temporary: Option<TempDir>) -> Self {
        Self {
            folder,
            program: OWN_PROGRAM.into(),
            time: COMPILER_TIME,
            size: SIZE,
            metrics: Arc::default(),
            _temporary: temporary,
        }
    }

    /// Sets the most bytes that the folder may hold, instead of [`SIZE`].
    #[must_use]
    pub fn keeping(mut self, size: u64) -> Self {
        self.size = size;
        self
    }

    /// Sets the program that compiles. It's for processes that use this library and aren't `nbdbox`.
    #[must_use]
    pub fn compiling_with(mut self, program: &Path) -> Self {
        self.program = program.to_owned();
        self
    }

    /// Sets the most time that one compilation may take, instead of [`COMPILER_TIME`].
    #[must_use]
    pub fn compiling_within(mut self, time: Duration) -> Self {
        self.time = time;
        self
    }

    /// The counters of compilations, and of files that the cache already had.
    pub(crate) fn metrics(&self) -> &Arc<CompileMetrics> {
        &self.metrics
    }

    /// Removes the unfinished files of killed servers, and the least recently used files beyond the folder's size.
    /// Blocks.
    pub fn tidy(&self) {
        if let Some(folder) = &self.folder {
            let tidied =
                keeping::remove_abandoned(folder).and_then(|()| keeping::shrink(folder, self.size));
            self.warn(tidied);
        }
    }

    /// Returns the code of a plugin's file: from the keeper if there is one, otherwise from the cache or from a
    /// compiler in a child process. It reads and maps on the host's lane. Dropping the future ends the child.
    ///
    /// # Errors
    /// The reason why the file can't be a plugin.
    pub(crate) async fn compiled(
        &self,
        engine: &wasmtime::Engine,
        path: &Path,
    ) -> anyhow::Result<Compiled> {
        if let Some(keeper) = Keeper::get() {
            return from_keeper::compiled(keeper, engine, path, &self.metrics).await;
        }
        let code = self.code(compatibility(engine), path).await;
        let code = code.map_err(|refused| refused.error)?;
        let Code { file, digest, .. } = code;
        let mapping = engine.clone();
        let mapped = Work::of_the_host().run(move || file.map(&mapping)).await?;
        Ok(Compiled {
            artifact: mapped.context("can't use what the compiler wrote")?,
            digest,
            size: code.size,
            compile_time: code.compile_time,
        })
    }

    /// Returns the code of a plugin's file in a file that matches its digest: from the cache, or from a compiler in a
    /// child process. `compatibility` is a number that changes with everything that the code depends on. Dropping the
    /// future ends the child.
    ///
    /// # Errors
    /// The reason why the file can't be a plugin.
    pub async fn code(&self, compatibility: u64, path: &Path) -> Result<Code, Refused> {
        let unread = |error| Refused {
            digest: None,
            error,
        };
        let file = path.to_owned();
        let reading = Work::of_the_host().run(move || Component::read(&file));
        let read = reading.await.map_err(|error| unread(error.into()))?;
        let component = read.map_err(unread)?;
        let digest = component.digest.clone();
        let found = self.find(compatibility, component).await;
        found.map_err(|error| Refused {
            digest: Some(digest),
            error: error.context(format!("can't load {}", path.display())),
        })
    }

    async fn find(&self, compatibility: u64, component: Component) -> anyhow::Result<Code> {
        let Component { bytes, digest } = component;
        let name = format!("{digest}-{compatibility:016x}.{}", keeping::ENDING);
        let kept = self.folder.as_ref().map(|folder| folder.join(name));
        let size = bytes.len() as u64;
        if let Some(kept) = &kept
            && let Some(file) = look(kept).await?
        {
            self.metrics.hit(digest.to_string());
            return Ok(Code {
                file,
                digest,
                size,
                compile_time: None,
            });
        }
        let start = Instant::now();
        let file = self.compile(&bytes, kept).await;
        let took = start.elapsed();
        let file = file.inspect_err(|_| self.metrics.failed(digest.to_string()))?;
        self.metrics.compiled(digest.to_string(), took);
        Ok(Code {
            file,
            digest,
            size,
            compile_time: Some(took),
        })
    }

    /// Compiles `bytes` in a child process. Keeps the code at `path` if possible.
    async fn compile(&self, bytes: &[u8], path: Option<PathBuf>) -> anyhow::Result<Checked> {
        let code = Written::empty()?;
        compile::in_a_child(&self.program, self.time, bytes, code.output()?).await?;
        let size = self.size;
        let opening = Work::of_the_host().run(move || {
            let mut code = code.sealed()?;
            // Uses the kept file, so that the kernel needn't keep the code in memory.
            let kept = path.map_or(Ok(None), |path| keeping::keep(&mut code, &path, size));
            let (file, kept) = match kept {
                Ok(file) => (file, Ok(())),
                Err(error) => (None, Err(error)),
            };
            let from_file = file.and_then(|file| Checked::check(file).ok());
            let checked = match from_file {
                Some(checked) => checked,
                None => Checked::check(code)?,
            };
            Ok::<_, Unusable>((checked, kept))
        });
        let opened = opening.await?;
        let (file, kept) = opened.context("can't use what the compiler wrote")?;
        self.warn(kept);
        Ok(file)
    }

    /// Logs a folder that can't be used. It costs time or room, but no export.
    fn warn(&self, done: io::Result<()>) {
        if let (Err(error), Some(folder)) = (done, &self.folder) {
            let folder = folder.display();
            tracing::warn!(
                "can't keep plugins in the compile cache {folder}, or can't tidy it, so nbdbox may compile them again: \
                 {error}"
            );
        }
    }
}

/// Makes the folder with mode 700 if it doesn't exist, and checks that nobody else can write to it.
fn private(folder: &Path) -> anyhow::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    let metadata = fs::metadata(folder)?;
    ensure!(
        metadata.uid() == rustix::process::geteuid().as_raw() && metadata.mode() & 0o022 == 0,
        "others can write to it; it must belong to you, with mode 700"
    );
    Ok(())
}

/// Returns the code at `path`; `None` if there is none, or if it's damaged, after a warning.
async fn look(path: &Path) -> anyhow::Result<Option<Checked>> {
    let path = path.to_owned();
    let looked = Work::of_the_host().run(move || {
        let opened = File::open(&path)
            .map_err(Unusable::from)
            .and_then(|file| {
                keeping::note_use(&file);
                Checked::check(file)
            });
        match opened {
            Ok(checked) => Some(checked),
            Err(Unusable::Read(error)) if error.kind() == io::ErrorKind::NotFound => None,
            Err(unusable) => {
                let path = path.display();
                tracing::warn!(
                    "can't use {path} of the compile cache, so nbdbox compiles the plugin again: {unusable}"
                );
                None
            }
        }
    });
    Ok(looked.await?)
}

/// Returns a number that changes with everything that compiled code depends on.
pub(crate) fn compatibility(engine: &wasmtime::Engine) -> u64 {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    env!("CARGO_PKG_VERSION").hash(&mut hasher);
    FORMAT.hash(&mut hasher);
    hasher.finish()
}

impl Component {
    /// Reads a plugin's file and hashes it. Blocks.
    ///
    /// # Errors
    /// The file can't be read, or is larger than 64 MiB ([`COMPONENT`]).
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let named = || format!("can't read {}", path.display());
        let file = outside::files::read(path).with_context(named)?;
        let mut bytes = Vec::new();
        file.take(COMPONENT + 1)
            .read_to_end(&mut bytes)
            .with_context(named)?;
        ensure!(
            bytes.len() as u64 <= COMPONENT,
            "can't load {}: it is larger than {}",
            path.display(),
            Bytes(COMPONENT)
        );
        let digest = Digest::of(&bytes);
        Ok(Self { bytes, digest })
    }
}
