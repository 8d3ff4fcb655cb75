//! A component that was found to have a plugin's type. Nothing of it has run.

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

/// A component with a plugin's type, linked with the host's functions. None of its code runs before it makes an
/// instance.
pub struct Examined {
    world: World,
    linked: Arc<Linked>,
}

/// What an instance is made of.
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
    /// Compiles and examines a component in this process, without a child and without the cache. It's for fuzzing,
    /// which can't start a process for each input. Runs none of the component's code. Blocks for the time that the
    /// compiler takes.
    ///
    /// # Errors
    /// The bytes aren't a component, or the component can't be a plugin. The text has the reason.
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

    /// Examines a compiled component. Blocks for a time in proportion to its imports.
    ///
    /// # Errors
    /// The component can't be a plugin. The text has the reason.
    pub(crate) fn new(engine: &Engine, artifact: &Artifact) -> anyhow::Result<Self> {
        let component = &artifact.component;
        let world = World::of(component)?;
        let pre = engine
            .linker()
            .instantiate_pre(component)
            .map_err(|error| {
                anyhow::anyhow!("it doesn't match the interfaces of this nbdbox: {error:#}")
            })?;
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

    /// The interfaces that the component exports and imports.
    #[must_use]
    pub fn world(&self) -> &World {
        &self.world
    }

    /// Checks that an instance can fit into `limits` at all.
    ///
    /// # Errors
    /// Before any of its code runs, an instance takes more memory of the host than the limit.
    pub(crate) fn check_room(&self, limits: &Limits) -> anyhow::Result<()> {
        let Footprint { bytes, .. } = self.linked.footprint;
        ensure!(
            bytes <= limits.memory,
            "an instance of it takes {} for its globals, functions, imports and instances before it runs, but may have \
             only {}: raise the limit `memory`, or build it with fewer",
            Bytes(bytes),
            Bytes(limits.memory)
        );
        Ok(())
    }

    /// Makes an instance within the limits of `ctx`. It does so on the tenant's lane, because no epoch interrupts the
    /// filling of memories and tables. If the future is dropped, the lane still makes the instance, and drops it.
    ///
    /// # Errors
    /// The host stopped the instance, the limits leave no room for it, or the lane has no thread.
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
