//! A component that was looked at: it has the shape of a plugin, and nothing of it has run.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use device::fault::Failure;
use device::origin::Origin;
use nbd_proto::Errno;
use nbdbox_config::limits::Limits;
use nbdbox_config::size::Bytes;
use tokio::runtime::Handle;
use wasmtime::component::{Component, InstancePre};

use crate::abi::world::World;
use crate::component::artifact::Artifact;
use crate::component::footprint::Footprint;
use crate::component::pieces;
use crate::instance::Instance;
use crate::instance::context::ExportContext;
use crate::instance::functions::Indices;
use crate::instance::guest::Guest;
use crate::loaded::engine::Engine;

/// A component whose type is a plugin's, linked with the host's functions. Making an instance of it is the first
/// moment at which its code runs.
pub struct Examined {
    world: World,
    linked: Arc<Linked>,
}

/// All that an instance is made of.
struct Linked {
    indices: Indices,
    footprint: Footprint,
    pre: InstancePre<Guest>,
}

impl std::fmt::Debug for Examined {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Examined")
            .field("world", &self.world)
            .finish_non_exhaustive()
    }
}

impl Examined {
    /// Compiles and examines a component within this process: no child, no cache, none of its code runs. For
    /// fuzzing, which can't start a process for each input. Blocks for as long as the compiler takes.
    ///
    /// # Errors
    /// The bytes aren't a component, or the component can't be a plugin: the reason in words.
    pub fn from_bytes(engine: &Engine, bytes: &[u8]) -> anyhow::Result<Self> {
        let pieces = pieces::cut(bytes).context("it isn't a valid component")?;
        let component = Component::new(engine.wasmtime(), &pieces)
            .map_err(|error| anyhow::anyhow!("it isn't a valid component: {error:#}"))?;
        let footprint = Footprint::of(&pieces)?;
        Self::new(
            engine,
            &Artifact {
                component,
                footprint,
            },
        )
    }

    /// Examines a compiled component.
    ///
    /// # Errors
    /// It can't be a plugin: the reason in words.
    pub(crate) fn new(engine: &Engine, artifact: &Artifact) -> anyhow::Result<Self> {
        let component = &artifact.component;
        let world = World::of(component)?;
        let pre = engine
            .linker()
            .instantiate_pre(component)
            .map_err(|error| anyhow::anyhow!("it doesn't fit this nbdbox: {error:#}"))?;
        let indices = Indices::of(component, &world)?;
        Ok(Self {
            world,
            linked: Arc::new(Linked {
                indices,
                footprint: artifact.footprint,
                pre,
            }),
        })
    }

    /// What it exports and imports.
    #[must_use]
    pub fn world(&self) -> &World {
        &self.world
    }

    /// Whether an instance can fit `limits` at all.
    ///
    /// # Errors
    /// It takes more of the host than that before any of its code runs.
    pub(crate) fn check_room(&self, limits: &Limits) -> anyhow::Result<()> {
        let Footprint { bytes, .. } = self.linked.footprint;
        ensure!(
            bytes <= limits.memory,
            "an instance of it takes {} for its globals, functions, imports and instances before it runs, and may have \
             {}: raise the limit `memory`, or build it with fewer",
            Bytes(bytes),
            Bytes(limits.memory)
        );
        Ok(())
    }

    /// Makes an instance, within the limits of `ctx`. That's done on the lane of its tenant, since nothing ticks while
    /// memories and tables are filled. Dropping the future leaves the instance to be made and dropped there.
    ///
    /// # Errors
    /// The instance was stopped, or the limits allow none; the lane has no thread.
    pub(crate) async fn instance(
        &self,
        ctx: &Arc<ExportContext>,
        number: u64,
    ) -> Result<Instance, Failure> {
        let (linked, ctx) = (Arc::clone(&self.linked), Arc::clone(ctx));
        let work = ctx.quota.work.counting(&ctx.metrics.lane);
        let runtime = Handle::current();
        let making = Origin::carry(async move {
            let Linked {
                indices,
                footprint,
                pre,
            } = &*linked;
            Instance::new(pre, indices, *footprint, &ctx, number).await
        });
        let made = work.run(move || runtime.block_on(making)).await;
        made.unwrap_or_else(|error| {
            tracing::error!(target: "nbdbox::plugin", "can't make an instance: {error}");
            Err(Failure::host(
                Errno::Eio,
                "the host could not make an instance",
            ))
        })
    }
}
