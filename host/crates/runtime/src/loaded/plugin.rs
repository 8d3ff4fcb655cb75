//! A plugin that was loaded: compiled, looked at, and asked what it needs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use blob::Blob;
use device::fault::Failure;
use device::metrics::{CompileMetrics, Metrics};
use device::{ExportQuota, TenantQuota};
use nbdbox_config::limits::Limits;
use nbdbox_config::settings::Settings;

use crate::abi::manifest::Manifest;
use crate::abi::names::Names;
use crate::abi::world::World;
use crate::component::cache::{Compiled, Digest};
use crate::instance::Instance;
use crate::instance::context::{ExportContext, Grants};
use crate::loaded::engine::Engine;
use crate::loaded::examined::Examined;

/// A plugin, ready to make instances.
pub struct Plugin {
    examined: Examined,
    name: String,
    file: PathBuf,
    manifest: Option<Manifest>,
    changes_bytes: bool,
    digest: Digest,
    size: u64,
    compile_time: Option<Duration>,
    /// The counters of the compiler that made it.
    compiling: Arc<CompileMetrics>,
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
    /// `limits` and at the expense of `tenant`, with nothing granted.
    ///
    /// # Errors
    /// Says in words why it can't be a plugin, or why none of its instances would ever fit `limits`.
    pub async fn load(
        engine: &Engine,
        path: &Path,
        limits: &Limits,
        tenant: &Arc<TenantQuota>,
    ) -> anyhow::Result<Arc<Self>> {
        let cant_load = || format!("can't load {}", path.display());
        let Compiled {
            artifact,
            digest,
            size,
            compile_time,
        } = engine.cache().compiled(engine.wasmtime(), path).await?;
        // How long that takes is the plugin's to say: as many imports as it has.
        let (work, linker) = (tenant.lane.charging(None), engine.clone());
        let examining = work.run(move || Examined::new(&linker, &artifact));
        let examined = examining.await?.with_context(cant_load)?;
        examined.check_room(limits).with_context(cant_load)?;
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let asked = ask(&examined, &stem, limits, tenant).await;
        let (manifest, changes_bytes) =
            asked.with_context(|| format!("{}: its `describe` failed", cant_load()))?;
        let name = manifest.as_ref().map_or(&*stem, |manifest| &manifest.name);
        Ok(Arc::new(Self {
            examined,
            name: name.to_owned(),
            file: path.to_owned(),
            manifest,
            changes_bytes,
            size,
            digest,
            compile_time,
            compiling: Arc::clone(engine.metrics()),
        }))
    }

    /// Its name: by its manifest, or else the file's.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that it was loaded from; the file may have changed since.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// What it exports and imports.
    #[must_use]
    pub fn world(&self) -> &World {
        self.examined.world()
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

    /// Makes an instance, within the limits of `ctx`.
    pub(crate) async fn instance(
        &self,
        ctx: &Arc<ExportContext>,
        number: u64,
    ) -> Result<Instance, Failure> {
        self.examined.instance(ctx, number).await
    }
}

/// Runs `describe`, and for a filter `changes-bytes`, in an instance that nothing was granted to. `name` stands in
/// the log.
async fn ask(
    examined: &Examined,
    name: &str,
    limits: &Limits,
    tenant: &Arc<TenantQuota>,
) -> anyhow::Result<(Option<Manifest>, bool)> {
    let metrics = Arc::new(Metrics::default());
    let names = Names {
        plugin: name.to_owned(),
        ..Names::default()
    };
    let quota = ExportQuota::new(limits, tenant);
    let nothing = Grants::default();
    let ctx = ExportContext::new(names, metrics, quota, nothing, limits.clone());
    let ctx = Arc::new(ctx);
    let failed = |failure: Failure| anyhow::anyhow!("{}", failure.text);
    let mut instance = examined.instance(&ctx, 0).await.map_err(failed)?;
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
