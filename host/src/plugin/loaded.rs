//! A plugin that was loaded: compiled, looked at, and asked what it needs.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use wasmtime::Store;
use wasmtime::component::{
    Component, ComponentExportIndex, ComponentNamedList, InstancePre, Lift, Lower, Resource,
    TypedFunc,
};

use super::cache::Digest;
use super::engine::Engine;
use super::guest::{Guest, Surroundings};
use super::imports::{ExtentsHandle, ReadReplyHandle, WritePayloadHandle};
use super::instance::Instance;
use super::log::GuestLog;
use super::manifest::Manifest;
use super::wit::{self, DeviceInfo, Errno, ListedExport, PluginInfo, WriteFlags};
use super::world::World;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::quota::MemoryQuota;
use crate::settings::Settings;

/// A plugin, ready to make instances.
pub struct Plugin {
    name: String,
    world: World,
    manifest: Option<Manifest>,
    digest: Digest,
    size: u64,
    compile_time: Option<Duration>,
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
        let bytes = super::cache::read_component(path)?;
        let compiled = engine.cache().component(engine.wasmtime(), &bytes).await;
        let compiled = compiled.with_context(|| format!("can't load {}", file_name()))?;
        let stem = path
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned());
        let mut plugin = Self::inspect(engine, &compiled.component)
            .with_context(|| format!("can't load {}", file_name()))?;
        plugin.name = stem.unwrap_or_default();
        plugin.digest = compiled.digest;
        plugin.size = bytes.len() as u64;
        plugin.compile_time = compiled.compile_time;
        plugin.manifest = plugin
            .ask(limits)
            .await
            .with_context(|| format!("can't load {}: its `describe` failed", file_name()))?;
        if let Some(manifest) = &plugin.manifest {
            plugin.name.clone_from(&manifest.name);
        }
        Ok(Arc::new(plugin))
    }

    fn inspect(engine: &Engine, component: &Component) -> anyhow::Result<Self> {
        let world = World::of(component)?;
        let pre = engine
            .linker()
            .instantiate_pre(component)
            .map_err(|error| anyhow::anyhow!("it doesn't fit this nbdbox: {error:#}"))?;
        Ok(Self {
            name: String::new(),
            indices: Indices::of(component, &world)?,
            world,
            manifest: None,
            digest: Digest::default(),
            size: 0,
            compile_time: None,
            pre,
        })
    }

    /// Runs `describe` in an instance that nothing was granted to.
    async fn ask(&self, limits: &Limits) -> anyhow::Result<Option<Manifest>> {
        let metrics = Arc::new(Metrics::default());
        let nothing = Arc::new(Surroundings {
            export: String::new(),
            plugin: self.name.clone(),
            settings: Settings::default(),
            blobs: Vec::new(),
            limits: limits.clone(),
            metrics: Arc::clone(&metrics),
            quota: MemoryQuota::unlimited(),
            log: Arc::new(GuestLog::new("", &self.name, limits.log, metrics)),
        });
        let failed = |failure: crate::fault::Failure| anyhow::anyhow!("{}", failure.text);
        let mut instance = Instance::new(self, &nothing, 0).await.map_err(failed)?;
        let info = instance
            .describe()
            .await
            .map_err(|error| failed(error.into_failure()))?;
        info.map(Manifest::new).transpose()
    }

    /// Its name: by its manifest, or else the file's.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
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

    pub(super) fn instance_pre(&self) -> &InstancePre<Guest> {
        &self.pre
    }

    /// The functions of an instance, with their types checked.
    pub(super) fn functions(
        &self,
        store: &mut Store<Guest>,
        instance: &wasmtime::component::Instance,
    ) -> wasmtime::Result<Functions> {
        let indices = &self.indices;
        macro_rules! typed {
            ($index:expr) => {
                $index
                    .as_ref()
                    .map(|index| typed(instance, store, index))
                    .transpose()?
            };
        }
        Ok(Functions {
            open: typed(instance, store, &indices.open)?,
            read: typed(instance, store, &indices.read)?,
            describe: typed!(indices.describe),
            write: typed!(indices.write),
            flush: typed!(indices.flush),
            trim: typed!(indices.trim),
            zero: typed!(indices.zero),
            report: typed!(indices.report),
            cache: typed!(indices.cache),
            list_exports: typed!(indices.list_exports),
        })
    }
}

fn typed<P, R>(
    instance: &wasmtime::component::Instance,
    store: &mut Store<Guest>,
    index: &ComponentExportIndex,
) -> wasmtime::Result<TypedFunc<P, R>>
where
    P: ComponentNamedList + Lower,
    R: ComponentNamedList + Lift,
{
    instance.get_typed_func(store, index)
}

type Outcome = (Result<(), Errno>,);
type Describe = TypedFunc<(), (PluginInfo,)>;
type Open = TypedFunc<(String,), (Result<DeviceInfo, Errno>,)>;
type Read = TypedFunc<(Resource<ReadReplyHandle>, u64, u32), Outcome>;
type Write = TypedFunc<(Resource<WritePayloadHandle>, u64, WriteFlags), Outcome>;
type Flush = TypedFunc<(), Outcome>;
type Change = TypedFunc<(u64, u64, WriteFlags), Outcome>;
type Report = TypedFunc<(Resource<ExtentsHandle>, u64, u64, bool), Outcome>;
type Cache = TypedFunc<(u64, u64), Outcome>;
type ListExports = TypedFunc<(), (Result<Vec<ListedExport>, Errno>,)>;

/// A guest's functions; of the optional ones those that it exports.
#[derive(Clone, Copy)]
pub(super) struct Functions {
    pub(super) describe: Option<Describe>,
    pub(super) open: Open,
    pub(super) read: Read,
    pub(super) write: Option<Write>,
    pub(super) flush: Option<Flush>,
    pub(super) trim: Option<Change>,
    pub(super) zero: Option<Change>,
    pub(super) report: Option<Report>,
    pub(super) cache: Option<Cache>,
    pub(super) list_exports: Option<ListExports>,
}

/// Where the functions are in the component: looked up by name once, not in every instance.
struct Indices {
    describe: Option<ComponentExportIndex>,
    open: ComponentExportIndex,
    read: ComponentExportIndex,
    write: Option<ComponentExportIndex>,
    flush: Option<ComponentExportIndex>,
    trim: Option<ComponentExportIndex>,
    zero: Option<ComponentExportIndex>,
    report: Option<ComponentExportIndex>,
    cache: Option<ComponentExportIndex>,
    list_exports: Option<ComponentExportIndex>,
}

impl Indices {
    fn of(component: &Component, world: &World) -> anyhow::Result<Self> {
        let function = |interface: &str, name: &str| {
            let interface_index = component.get_export_index(None, interface);
            interface_index
                .and_then(|index| component.get_export_index(Some(&index), name))
                .ok_or_else(|| anyhow::anyhow!("its {interface} has no function `{name}`"))
        };
        let optional = |has: bool, interface: &str, name: &str| {
            has.then(|| function(interface, name)).transpose()
        };
        let (writable, zeroable) = (wit::interface!("writable"), wit::interface!("zeroable"));
        Ok(Self {
            describe: optional(world.manifest, wit::interface!("manifest"), "describe")?,
            open: function(wit::interface!("device"), "open")?,
            read: function(wit::interface!("device"), "read")?,
            write: optional(world.writable, writable, "write")?,
            flush: optional(world.writable, writable, "flush")?,
            trim: optional(world.zeroable, zeroable, "trim")?,
            zero: optional(world.zeroable, zeroable, "zero")?,
            report: optional(world.sparse, wit::interface!("sparse"), "report")?,
            cache: optional(world.prefetch, wit::interface!("prefetch"), "cache")?,
            list_exports: optional(
                world.export_list,
                wit::interface!("export-list"),
                "list-exports",
            )?,
        })
    }
}
