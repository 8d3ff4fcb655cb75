//! A plugin that was loaded: compiled, looked at, and asked what it needs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use blob::Blob;
use device::fault::Failure;
use device::metrics::{CompileMetrics, Metrics};
use device::peaks::Peaks;
use device::{ExportQuota, TenantQuota};
use nbdbox_config::limits::Limits;
use nbdbox_config::settings::Settings;
use wasmtime::component::{Component, InstancePre};

use crate::abi::manifest::Manifest;
use crate::abi::names::Names;
use crate::abi::world::World;
use crate::component::cache::Digest;
use crate::instance::Instance;
use crate::instance::functions::Indices;
use crate::instance::guest::{Guest, Surroundings};
use crate::instance::log::GuestLog;
use crate::loaded::engine::Engine;

/// A plugin, ready to make instances.
pub struct Plugin {
    name: String,
    file: PathBuf,
    world: World,
    manifest: Option<Manifest>,
    changes_bytes: bool,
    digest: Digest,
    size: u64,
    compile_time: Option<Duration>,
    /// The counters of the compiler that made it.
    compiling: Arc<CompileMetrics>,
    indices: Indices,
    pre: InstancePre<Guest>,
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugin")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Plugin {
    /// Loads a component, or a core module with component type information, from a file.
    ///
    /// Compiles it in a process of its own unless the cache has it, and runs its `describe`, within
    /// `limits`, with nothing granted.
    ///
    /// # Errors
    /// Says in words why it can't be a plugin.
    pub async fn load(engine: &Engine, path: &Path, limits: &Limits) -> anyhow::Result<Arc<Self>> {
        let file_name = || path.display().to_string();
        let bytes = crate::component::cache::read_component(path)?;
        let compiled = engine.cache().component(engine.wasmtime(), &bytes).await;
        let compiled = compiled.with_context(|| format!("can't load {}", file_name()))?;
        let stem = path
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned());
        let mut plugin = Self::inspect(engine, &compiled.component)
            .with_context(|| format!("can't load {}", file_name()))?;
        plugin.name = stem.unwrap_or_default();
        plugin.file = path.to_owned();
        plugin.digest = compiled.digest;
        plugin.size = bytes.len() as u64;
        plugin.compile_time = compiled.compile_time;
        let asked = plugin.ask(limits).await;
        (plugin.manifest, plugin.changes_bytes) =
            asked.with_context(|| format!("can't load {}: its `describe` failed", file_name()))?;
        if let Some(manifest) = &plugin.manifest {
            plugin.name.clone_from(&manifest.name);
        }
        Ok(Arc::new(plugin))
    }

    /// Looks at a component within this process: no child, no cache, nothing of it runs. For
    /// fuzzing, which can't start a process for each of its inputs.
    ///
    /// # Errors
    /// Says in words why they can't be a plugin.
    pub fn examine(engine: &Engine, bytes: &[u8]) -> anyhow::Result<World> {
        let component = Component::new(engine.wasmtime(), bytes)
            .map_err(|error| anyhow::anyhow!("it isn't a valid component: {error:#}"))?;
        Self::inspect(engine, &component).map(|plugin| plugin.world)
    }

    fn inspect(engine: &Engine, component: &Component) -> anyhow::Result<Self> {
        let world = World::of(component)?;
        let pre = engine
            .linker()
            .instantiate_pre(component)
            .map_err(|error| anyhow::anyhow!("it doesn't fit this nbdbox: {error:#}"))?;
        Ok(Self {
            name: String::new(),
            file: PathBuf::new(),
            indices: Indices::of(component, &world)?,
            world,
            manifest: None,
            changes_bytes: false,
            digest: Digest::default(),
            size: 0,
            compile_time: None,
            compiling: Arc::clone(engine.metrics()),
            pre,
        })
    }

    /// Runs `describe`, and for a filter `changes-bytes`, in an instance that nothing was granted to.
    async fn ask(&self, limits: &Limits) -> anyhow::Result<(Option<Manifest>, bool)> {
        let metrics = Arc::new(Metrics::default());
        let names = Names {
            plugin: self.name.clone(),
            ..Names::default()
        };
        let nothing = Arc::new(Surroundings {
            names: names.clone(),
            settings: Settings::default(),
            blobs: Vec::new(),
            limits: limits.clone(),
            metrics: Arc::clone(&metrics),
            quota: ExportQuota::new(limits, &TenantQuota::unlimited()),
            log: Arc::new(GuestLog::new(names, limits.log, metrics)),
            peaks: Peaks::default(),
            next: None,
            changes_bytes: false,
        });
        let failed = |failure: Failure| anyhow::anyhow!("{}", failure.text);
        let mut instance = self.instance(&nothing, 0).await.map_err(failed)?;
        let info = instance
            .describe()
            .await
            .map_err(|error| failed(error.into_failure()))?;
        let changes_bytes = instance
            .changes_bytes()
            .await
            .map_err(|error| failed(error.into_failure()))?;
        Ok((info.map(Manifest::new).transpose()?, changes_bytes))
    }

    /// Its name: by its manifest, or else the file's.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its file.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// What it exports and imports.
    #[must_use]
    pub fn world(&self) -> &World {
        &self.world
    }

    /// What it says of itself, if it does.
    #[must_use]
    pub fn manifest(&self) -> Option<&Manifest> {
        self.manifest.as_ref()
    }

    /// Whether it's a filter that changes the bytes that pass through it.
    #[must_use]
    pub fn changes_bytes(&self) -> bool {
        self.changes_bytes
    }

    /// Checks what the operator gave against its manifest, and puts in the defaults.
    ///
    /// # Errors
    /// All that doesn't fit, one thing a line.
    pub fn check(&self, settings: &mut Settings, blobs: &[Blob]) -> anyhow::Result<()> {
        match &self.manifest {
            Some(manifest) => manifest.check(settings, blobs),
            None => Ok(()),
        }
    }

    /// SHA-256 of the file.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Size of the file in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// How long it took to compile; `None` if it was in the cache.
    #[must_use]
    pub fn compile_time(&self) -> Option<Duration> {
        self.compile_time
    }

    /// The counters of the compiler that made it.
    #[must_use]
    pub fn compiling(&self) -> &Arc<CompileMetrics> {
        &self.compiling
    }

    /// Makes an instance, within the limits of `around`.
    pub(crate) async fn instance(
        &self,
        around: &Arc<Surroundings>,
        number: u64,
    ) -> Result<Instance, Failure> {
        Instance::new(&self.pre, &self.indices, around, number).await
    }
}
