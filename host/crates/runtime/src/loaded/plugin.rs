//! A loaded plugin: compiled and examined, with the manifest that its `describe` returned.

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

/// A plugin that is ready to make instances.
pub struct Plugin {
    examined: Examined,
    name: String,
    file: PathBuf,
    manifest: Option<Manifest>,
    changes_bytes: bool,
    digest: Digest,
    size: u64,
    compile_time: Option<Duration>,
    /// The counters of the engine that loaded it.
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
    /// Compiles the file in a child process unless the cache has its code. Then runs `describe` within `limits`,
    /// charged to `tenant`, without grants. Dropping the future ends the child.
    ///
    /// # Errors
    /// The file can't be a plugin, or `limits` leave no room for any of its instances. The text has the reason.
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
        // Examining takes a time in proportion to the plugin's imports, so the tenant's lane does it.
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

    /// The plugin's name: from its manifest, or else the file's name without its extension.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that the plugin was loaded from. The file may have changed since.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The interfaces that the plugin exports and imports.
    #[must_use]
    pub fn world(&self) -> &World {
        self.examined.world()
    }

    /// What the plugin declares about itself; `None` if it has no manifest.
    #[must_use]
    pub fn manifest(&self) -> Option<&Manifest> {
        self.manifest.as_ref()
    }

    /// Whether the plugin is a filter that changes the bytes that pass through it.
    #[must_use]
    pub fn changes_bytes(&self) -> bool {
        self.changes_bytes
    }

    /// Checks the operator's settings and grants against the plugin's manifest, and adds the default values. Without a
    /// manifest it accepts everything.
    ///
    /// # Errors
    /// Everything that doesn't fit, one problem a line.
    pub fn check(&self, settings: &mut Settings, blobs: &[Blob]) -> anyhow::Result<()> {
        match &self.manifest {
            Some(manifest) => manifest.check(settings, blobs),
            None => Ok(()),
        }
    }

    /// The SHA-256 of the file when it was loaded.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The size of the file in bytes when it was loaded.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The time that compiling took; `None` if the cache had the code.
    #[must_use]
    pub fn compile_time(&self) -> Option<Duration> {
        self.compile_time
    }

    /// The counters of the engine that loaded the plugin.
    #[must_use]
    pub fn compiling(&self) -> &Arc<CompileMetrics> {
        &self.compiling
    }

    /// Makes an instance within the limits of `ctx`. `number` identifies it in its pool.
    ///
    /// # Errors
    /// As for [`Examined::instance`].
    pub(crate) async fn instance(
        &self,
        ctx: &Arc<ExportContext>,
        number: u64,
    ) -> Result<Instance, Failure> {
        self.examined.instance(ctx, number).await
    }
}

/// Runs `describe`, and for a filter `changes-bytes`, in an instance without grants. `name` identifies the plugin in
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
