//! Compiled code, kept by the digest of what it was made from.
//!
//! The folder is private to the operator's account: whoever can write there can run code as nbdbox.
//! That is checked at start, and it's why precompiled files from anywhere else are refused.

use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::fs;
use std::hash::{Hash as _, Hasher as _};
use std::io::Read as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use device::metrics::CompileMetrics;
use nbdbox_config::limits::{COMPILER_TIME, COMPONENT};
use nbdbox_config::size::Bytes;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use wasmtime::component::Component;

use crate::component::compile;

/// This program, even if its file was replaced meanwhile (proc(5)).
const OWN_PROGRAM: &str = "/proc/self/exe";

/// SHA-256 of a plugin's file.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The digest of a plugin's file.
    ///
    /// # Errors
    /// It can't be read, or is too large to be a plugin.
    pub fn of_file(path: &Path) -> anyhow::Result<Self> {
        Ok(Self::of(&read_component(path)?))
    }

    /// The digest's 32 bytes.
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

/// A folder of compiled code.
#[derive(Debug)]
pub struct Cache {
    folder: PathBuf,
    /// The program that compiles.
    program: PathBuf,
    /// The time that it has.
    time: Duration,
    metrics: Arc<CompileMetrics>,
    /// Of a cache for this process alone: removed at its end.
    _temporary: Option<TempDir>,
}

/// What [`Cache::component`] found or made.
pub(crate) struct Compiled {
    pub(crate) component: Component,
    pub(crate) digest: Digest,
    /// `None` if it was there.
    pub(crate) compile_time: Option<Duration>,
}

impl Cache {
    /// The operator's cache: `$XDG_CACHE_HOME/nbdbox`, `~/.cache/nbdbox`, or without a home one for
    /// this process alone.
    ///
    /// # Errors
    /// The folder can't be made, or others can write to it.
    pub fn default_folder() -> anyhow::Result<Self> {
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

    /// A cache in this folder, which is made if it isn't there.
    ///
    /// # Errors
    /// It can't be made, or others can write to it.
    pub fn folder(folder: &Path) -> anyhow::Result<Self> {
        let named = || format!("can't use the compile cache {}", folder.display());
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .with_context(named)?;
        let metadata = fs::metadata(folder).with_context(named)?;
        ensure!(
            metadata.uid() == rustix::process::geteuid().as_raw() && metadata.mode() & 0o022 == 0,
            "{}: others can write to it; it must belong to you, with mode 700",
            named()
        );
        Ok(Self {
            folder: folder.to_owned(),
            program: OWN_PROGRAM.into(),
            time: COMPILER_TIME,
            metrics: Arc::default(),
            _temporary: None,
        })
    }

    /// A cache for this process alone.
    ///
    /// # Errors
    /// There's no place for temporary files.
    pub fn temporary() -> anyhow::Result<Self> {
        // Without this the folder would be as open as the umask lets it.
        let temporary = tempfile::Builder::new()
            .prefix("nbdbox-")
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir()
            .context("can't make a compile cache")?;
        let folder = temporary.path().to_owned();
        Ok(Self {
            folder,
            program: OWN_PROGRAM.into(),
            time: COMPILER_TIME,
            metrics: Arc::default(),
            _temporary: Some(temporary),
        })
    }

    /// Lets another program compile: for processes that use this library but aren't `nbdbox`.
    #[must_use]
    pub fn compiling_with(mut self, program: &Path) -> Self {
        self.program = program.to_owned();
        self
    }

    /// Gives compiling less time, or more, than [`COMPILER_TIME`].
    #[must_use]
    pub fn compiling_within(mut self, time: Duration) -> Self {
        self.time = time;
        self
    }

    /// Counts compilations, and what the cache already had.
    pub(crate) fn metrics(&self) -> &Arc<CompileMetrics> {
        &self.metrics
    }

    /// The code for `bytes`: from the cache, or compiled by a child process.
    pub(crate) async fn component(
        &self,
        engine: &wasmtime::Engine,
        bytes: &[u8],
    ) -> anyhow::Result<Compiled> {
        let digest = Digest::of(bytes);
        let path = self
            .folder
            .join(format!("{digest}-{:016x}.cwasm", compatibility(engine)));
        // A file that can't be used, of another build of wasmtime say, is made again.
        if let Ok(component) = load(engine, &path) {
            self.metrics.hit(digest.to_string());
            return Ok(Compiled {
                component,
                digest,
                compile_time: None,
            });
        }
        let start = Instant::now();
        let component = self.compile(engine, bytes, &path).await;
        let took = start.elapsed();
        let component = component.inspect_err(|_| self.metrics.failed(digest.to_string()))?;
        self.metrics.compiled(digest.to_string(), took);
        Ok(Compiled {
            component,
            digest,
            compile_time: Some(took),
        })
    }

    /// Lets a child process compile `bytes` to the file `path`.
    async fn compile(
        &self,
        engine: &wasmtime::Engine,
        bytes: &[u8],
        path: &Path,
    ) -> anyhow::Result<Component> {
        let output = tempfile::Builder::new()
            .prefix(".compiling-")
            .tempfile_in(&self.folder)
            .context("can't write to the compile cache")?
            .into_temp_path();
        compile::in_a_child(&self.program, self.time, bytes, &output).await?;
        output
            .persist(path)
            .context("can't write to the compile cache")?;
        load(engine, path)
    }
}

/// Maps compiled code into memory. The only unsafe code of the project.
#[expect(
    unsafe_code,
    reason = "wasmtime can't know who wrote the file; this module does"
)]
fn load(engine: &wasmtime::Engine, path: &Path) -> anyhow::Result<Component> {
    // SAFETY: the file must be what `precompile_component` returned, unchanged. Only `component`
    // above names files in this folder, each written by our own compiler process and renamed into
    // place whole; `folder` and `temporary` have made sure that nobody but this account can write
    // there. wasmtime itself refuses code of another version or with other settings.
    let component = unsafe { Component::deserialize_file(engine, path) };
    component.map_err(|error| anyhow::anyhow!("{}: {error:#}", path.display()))
}

/// A number that changes with everything that compiled code depends on.
fn compatibility(engine: &wasmtime::Engine) -> u64 {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    env!("CARGO_PKG_VERSION").hash(&mut hasher);
    hasher.finish()
}

/// Reads a plugin's file, up to the size that is allowed.
pub(crate) fn read_component(path: &Path) -> anyhow::Result<Vec<u8>> {
    let named = || format!("can't read {}", path.display());
    // Looked at first: to open a pipe would be to wait for its writer.
    ensure!(
        fs::metadata(path).with_context(named)?.is_file(),
        "{}: it isn't a file",
        named()
    );
    let file = fs::File::open(path).with_context(named)?;
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
    Ok(bytes)
}
