//! The exports of many tenants in one process.
//!
//! A [`Blueprint`] is a configuration whose files, digests and secrets the host has checked. [`Hosting`] is the catalog
//! made of it. Its invariants:
//!
//! - A client sees only the exports of its own tenant, and only by name.
//! - No plugin is loaded, let alone run, before a client that may use its export requests it.
//! - A plugin is compiled and kept once, however many exports use it.
//!
//! Another blueprint can replace the first while clients are connected. An export that is the same in both goes on
//! undisturbed. One that differs becomes a new generation, and no two generations that each rely on being the only
//! writer are open at once.

mod blueprint;
mod generation;
mod hold;
mod library;
mod native;
mod plan;
mod slot;
mod standalone;
mod tenant;

use std::sync::{Arc, PoisonError, RwLock};

use anyhow::Context as _;
use device::fault::Failure;
use device::identity::Client;
use device::metrics::{CompileMetrics, Observed, SeenExport, SeenTenant};
use device::origin::Origin;
use device::{Absent, Catalog, Listed, Opened, ProcessQuota};
use fair_cores::Cores;
use nbdbox_config::config::Config;
use nbdbox_config::limits::Limits;
use quota::SharedCount;
use runtime::{Engine, PluginExport};

pub(crate) use blueprint::{Blueprint, read_configuration};
pub(crate) use library::Library;
pub(crate) use native::native;
pub(crate) use standalone::Standalone;
pub(crate) use tenant::Tenant;

use self::hold::Hold;
use crate::machine;

/// The catalog of all tenants.
#[derive(Debug)]
pub(crate) struct Hosting {
    library: Arc<Library>,
    limits: Limits,
    process: Arc<ProcessQuota>,
    cores: Arc<Cores>,
    /// The connections of all tenants together.
    connections: Arc<SharedCount>,
    tenants: RwLock<Arc<Vec<Arc<Tenant>>>>,
    /// Every client belongs to the first tenant, whatever its rules.
    for_all: bool,
}

/// What another blueprint changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// Exports that are new.
    pub added: usize,
    /// Exports for which new connections get something else.
    pub changed: usize,
    /// Exports that are gone.
    pub removed: usize,
    /// Exports that stay as they are.
    pub kept: usize,
}

impl Hosting {
    /// The tenants of a blueprint. Loads no plugin yet.
    #[must_use]
    pub(crate) fn new(engine: Engine, blueprint: Blueprint) -> Self {
        let connections = blueprint.config.own_connections();
        let Config {
            handshake,
            memory,
            portion,
            ..
        } = blueprint.config;
        let limits = Limits {
            handshake,
            connections,
            ..Limits::default()
        };
        // Guests run on the runtime's threads, so this many of them can compute at once.
        let runtime = tokio::runtime::Handle::try_current();
        let workers = runtime.map_or(1, |runtime| runtime.metrics().num_workers());
        let hosting = Self {
            library: Arc::new(Library::new(engine)),
            limits,
            process: machine::budget_of(memory, portion),
            cores: Cores::new(workers),
            connections: SharedCount::new(connections),
            tenants: RwLock::default(),
            for_all: false,
        };
        hosting.replace(blueprint);
        hosting
    }

    /// The exports of a command line: those of one tenant, to which every client belongs.
    #[must_use]
    pub(crate) fn for_all(engine: Engine, blueprint: Blueprint) -> Self {
        Self {
            for_all: true,
            ..Self::new(engine, blueprint)
        }
    }

    /// Replaces the blueprint. Connections stay as they are, and new ones get the new exports. The time for the
    /// handshake and the number of connections stay those of the first blueprint.
    pub(crate) fn replace(&self, blueprint: Blueprint) -> Changes {
        let Config {
            memory, portion, ..
        } = blueprint.config;
        let memory = machine::memory_budget(memory);
        self.process.memory.set(portion.of(memory));
        let mut changes = Changes::default();
        let mut tenants = self.tenants.write().unwrap_or_else(PoisonError::into_inner);
        let before: usize = tenants.iter().map(|tenant| tenant.len()).sum();
        let next = blueprint.into_tenants().map(|(tenant, exports)| {
            let old = tenants.iter().find(|old| old.name() == tenant.name);
            let old = old.map(|old| &**old);
            Arc::new(Tenant::new(tenant, exports, old, self, &mut changes))
        });
        let next: Vec<Arc<Tenant>> = next.collect();
        *tenants = Arc::new(next);
        changes.removed = before - changes.kept - changes.changed;
        changes
    }

    /// Loads all plugins, and checks whether each is granted and given what it needs. Opens no export.
    ///
    /// # Errors
    /// The first mismatch, with its export.
    pub(crate) async fn check(&self) -> anyhow::Result<()> {
        for tenant in self.tenants().iter() {
            for slot in tenant.exports() {
                let checked = async {
                    let planned = slot.planned();
                    let plugin = slot.load(&planned).await?;
                    let filters = slot.load_filters(&planned).await?;
                    slot.check(&plugin, filters).await
                };
                let checked: anyhow::Result<()> = checked.await;
                checked.with_context(|| format!("export `{}`", slot.planned().export.name))?;
            }
        }
        Ok(())
    }

    /// The connections that are reserved for each tenant, whatever the others use; 0 if there are too few to reserve
    /// any.
    #[must_use]
    pub(crate) fn kept_connections(&self) -> usize {
        self.connections.kept()
    }

    /// The tenants, in the order of their names.
    #[must_use]
    pub(crate) fn tenants(&self) -> Arc<Vec<Arc<Tenant>>> {
        let tenants = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&tenants)
    }

    /// The tenant to which a client belongs. If the rules of two tenants match, it belongs to neither: a mistake in the
    /// rules must not show one tenant's exports to the other.
    fn tenant_of(&self, client: &Client) -> Option<Arc<Tenant>> {
        let tenants = self.tenants();
        if self.for_all {
            return tenants.first().cloned();
        }
        let mut fitting = tenants.iter().filter(|tenant| tenant.is_of(client));
        let first = fitting.next()?;
        if let Some(second) = fitting.next() {
            let (first, second) = (first.name(), second.name());
            tracing::error!(
                listener = client.listener,
                first,
                second,
                ?client,
                request = Origin::field(),
                "the rules of two tenants match a client, so it gets no export; change the rules"
            );
            return None;
        }
        Some(Arc::clone(first))
    }
}

impl Observed for Hosting {
    fn exports(&self) -> Vec<SeenExport> {
        let tenants = self.tenants();
        let slots = tenants.iter().flat_map(|tenant| tenant.exports());
        slots.map(|slot| slot.seen()).collect()
    }

    fn tenants(&self) -> Vec<SeenTenant> {
        Self::tenants(self)
            .iter()
            .map(|tenant| tenant.seen())
            .collect()
    }

    fn process(&self) -> Arc<ProcessQuota> {
        Arc::clone(&self.process)
    }

    fn compiling(&self) -> Arc<CompileMetrics> {
        Arc::clone(self.library.metrics())
    }
}

impl Catalog for Hosting {
    type Device = PluginExport;

    fn limits(&self) -> &Limits {
        &self.limits
    }

    fn cores(&self) -> Option<&Arc<Cores>> {
        Some(&self.cores)
    }

    async fn list(&self, client: &Client) -> Result<Vec<Listed>, Failure> {
        let tenant = self.tenant_of(client);
        Ok(tenant.map(|tenant| tenant.list()).unwrap_or_default())
    }

    async fn find(&self, client: &Client, name: &str) -> Result<Opened<PluginExport>, Absent> {
        let tenant = self.tenant_of(client).ok_or(Absent::Unknown)?;
        let slot = tenant.slot(name).ok_or(Absent::Unknown)?;
        let permits = slot.take_permits().ok_or(Absent::Full)?;
        let presence = slot.open().await?;
        let served = presence.generation().opened().served();
        let hold = Hold::new(permits, slot, presence);
        Ok(Opened {
            served,
            hold: Some(Box::new(hold)),
        })
    }
}
