//! One export of a tenant: planned, and opened when its first client comes.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use blob::{Blob, Grant, Look, Opener};
use device::metrics::{SeenExport, stem};
use device::origin::Origin;
use device::{Absent, Listed, Served, TenantQuota, Terms};
use lanes::Work;
use nbdbox_config::lock::Lock;
use quota::{Backoff, CountParty, CountPermit, CountQuota, PartyPermit};
use runtime::{
    ExportSpec, FilterKind, FilterSpec, Plugin, PluginCatalog, PluginExport, PluginFilter,
};
use tokio::sync::{Mutex, OwnedMutexGuard, Semaphore};

use super::blueprint::Planned;
use super::generation::{Generation, Presence, Step};
use super::library::Library;
use super::native::native;
use super::plan::Plan;

/// The pause after an export couldn't be opened; it doubles with each failure. Restrains clients that retry: without
/// it, they would keep the host busy with an export that fails.
const PAUSE: Duration = Duration::from_millis(100);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// An export of a tenant. Its plan may change; [`Step`] decides how long what is open stays.
#[derive(Debug)]
pub(crate) struct Slot {
    tenant: String,
    name: String,
    quota: Arc<TenantQuota>,
    connections: Arc<CountQuota>,
    /// The tenant's part of the connections of all tenants.
    whole: Arc<CountParty>,
    library: Arc<Library>,
    /// The tenant's permit to load a plugin.
    load_permit: Arc<Semaphore>,
    /// Opens the files of all generations.
    opener: Opener,
    /// Locked only for the time that a look or a change takes.
    life: RwLock<Life>,
    /// Set by a reload, until the host finds that the open files are still those at their paths.
    reloaded: AtomicBool,
    /// Held while the export is opened.
    failing: Arc<Mutex<Backoff>>,
}

#[derive(Debug)]
struct Life {
    plan: Arc<Plan>,
    open: Option<Arc<Generation<Opened>>>,
    /// New connections get what is open, although something is new.
    pending: bool,
}

/// An open export, and the plan that it was opened with.
#[derive(Debug)]
pub(super) struct Opened {
    plan: Arc<Plan>,
    export: Arc<PluginExport>,
}

/// The permits that a connection holds: one of the export's, one of its tenant's, and one of those that all tenants
/// share.
#[derive(Debug)]
pub(super) struct ConnectionPermits {
    pub(super) _export: CountPermit,
    pub(super) _tenant: CountPermit,
    pub(super) _whole: PartyPermit,
}

impl Opened {
    pub(super) fn export(&self) -> &Arc<PluginExport> {
        &self.export
    }

    /// The export as clients get it: with the operator's description, if there is one.
    pub(super) fn served(&self) -> Served<PluginExport> {
        let served = self.export.served();
        let Some(description) = &self.plan.planned.export.description else {
            return served;
        };
        let mut terms = Terms::clone(served.terms());
        terms.export.description = Some(description.clone());
        served.on(Arc::new(terms))
    }

    async fn is_as_opened(&self, look: Look) -> bool {
        let blobs = self.export.blobs().cloned().collect();
        Blob::are_as_opened(blobs, look).await
    }
}

impl Slot {
    pub(super) fn new(
        tenant: &str,
        planned: Planned,
        (quota, connections): (&Arc<TenantQuota>, &Arc<CountParty>),
        library: &Arc<Library>,
        load_permit: &Arc<Semaphore>,
    ) -> Arc<Self> {
        let name = planned.export.name.clone();
        Arc::new(Self {
            opener: Opener::new(format!("export \"{name}\" of tenant {tenant}")),
            tenant: tenant.to_owned(),
            name,
            connections: CountQuota::new(planned.export.limits.connections),
            whole: Arc::clone(connections),
            quota: Arc::clone(quota),
            library: Arc::clone(library),
            load_permit: Arc::clone(load_permit),
            life: RwLock::new(Life {
                plan: Plan::new(planned),
                open: None,
                pending: false,
            }),
            reloaded: AtomicBool::new(false),
            failing: Arc::new(Mutex::new(Backoff::new(PAUSE, LONGEST_PAUSE))),
        })
    }

    /// Takes the export's part of a configuration that was read again. Returns whether anything differs except its
    /// place there.
    pub(super) fn replan(&self, planned: Planned) -> bool {
        self.reloaded.store(true, Relaxed);
        let mut life = self.life.write().unwrap_or_else(PoisonError::into_inner);
        if life.plan.planned.is_like(&planned) {
            return false;
        }
        self.connections.set(planned.export.limits.connections);
        let open = life.open.as_ref().map(|open| &open.opened().plan);
        let as_open = open.filter(|plan| plan.planned.is_like(&planned));
        life.plan = as_open.map_or_else(|| Plan::new(planned), Arc::clone);
        true
    }

    /// The plan for new connections.
    #[must_use]
    pub(super) fn plan(&self) -> Arc<Plan> {
        Arc::clone(&self.life().plan)
    }

    /// The export as the configuration has it.
    #[must_use]
    pub(crate) fn planned(&self) -> Planned {
        self.plan().planned.clone()
    }

    fn life(&self) -> std::sync::RwLockReadGuard<'_, Life> {
        self.life.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn generation(&self) -> Option<Arc<Generation<Opened>>> {
        self.life().open.clone()
    }

    fn set_generation(&self, generation: Option<Arc<Generation<Opened>>>) {
        let mut life = self.life.write().unwrap_or_else(PoisonError::into_inner);
        // Dropped outside the lock, because that takes a while.
        let before = std::mem::replace(&mut life.open, generation);
        life.pending = false;
        drop(life);
        drop(before);
    }

    /// Sets the mark. Returns whether it changed.
    fn set_pending(&self, pending: bool) -> bool {
        let mut life = self.life.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut life.pending, pending) != pending
    }

    /// The export as an operator sees it.
    #[must_use]
    pub(crate) fn seen(&self) -> SeenExport {
        let (open, pending) = {
            let life = self.life();
            (life.open.clone(), life.pending)
        };
        let export = open.as_ref().map(|open| &open.opened().export);
        let plan = open.as_ref().map(|open| Arc::clone(&open.opened().plan));
        let plan = plan.unwrap_or_else(|| self.plan());
        let plugin = match export.and_then(|export| export.layers().last()) {
            Some(bottom) => bottom.plugin().name().to_owned(),
            None => stem(&plan.planned.file),
        };
        SeenExport {
            tenant: self.tenant.clone(),
            export: self.name.clone(),
            plugin,
            digest: plan.planned.digest.to_string(),
            open: export.map(|export| export.seen()),
            pending,
            metrics: Arc::clone(&plan.metrics),
            layers: plan.seen_layers(),
        }
    }

    /// Permits for one more connection. Returns `None`, and counts the denial, if the export or its tenant has its
    /// most, or if the rest of the server's is reserved for other tenants.
    pub(super) fn take_permits(&self) -> Option<ConnectionPermits> {
        let take = || {
            Some(ConnectionPermits {
                _export: self.connections.take()?,
                _tenant: self.quota.connections.take()?,
                _whole: self.whole.take()?,
            })
        };
        let permits = take();
        if permits.is_none() {
            self.plan().metrics.refused_connections.one();
        }
        permits
    }

    /// Whether a client is connected to it.
    pub(super) fn has_clients(&self) -> bool {
        self.connections.used() > 0
    }

    /// The export's entry in the list for clients. Opens nothing.
    pub(super) fn listed(&self) -> Listed {
        let said = self.generation();
        let said = said.and_then(|open| open.opened().export.terms().export.description.clone());
        let description = self.plan().planned.export.description.clone();
        Listed {
            name: self.name.clone(),
            description: description.or(said),
        }
    }

    /// Opens the export, or joins it if it's open. Dropping the future is safe: the opening goes on, and the next
    /// client finds it done.
    pub(super) async fn open(self: &Arc<Self>) -> Result<Presence<Opened>, Absent> {
        // Locked before the task starts: one task at a time opens an export, however many clients request it and leave.
        let failing = Arc::clone(&self.failing).lock_owned().await;
        let work = Origin::carry(Arc::clone(self).open_or_join(failing));
        #[expect(
            clippy::disallowed_methods,
            reason = "its tenant's: one at a time for each export, which ends with its limits on time"
        )]
        let opening = tokio::spawn(work);
        opening.await.unwrap_or(Err(Absent::Failed))
    }

    async fn open_or_join(
        self: Arc<Self>,
        mut failing: OwnedMutexGuard<Backoff>,
    ) -> Result<Presence<Opened>, Absent> {
        let before = self.generation();
        if let Some(open) = &before {
            match self.step(open).await {
                Step::Join => {
                    self.set_pending(false);
                    return Ok(open.enter());
                }
                Step::JoinOld => {
                    if self.set_pending(true) {
                        self.tell_of_pending();
                    }
                    return Ok(open.enter());
                }
                Step::Open => {}
            }
        }
        if failing.wait(Instant::now()).is_some() {
            return Err(Absent::Failed);
        }
        let plan = self.plan();
        match self.next_generation(&plan, before).await {
            Ok(generation) => {
                failing.note_success();
                let presence = generation.enter();
                self.set_generation(Some(generation));
                Ok(presence)
            }
            Err(error) => {
                plan.metrics.failed_opens.one();
                let (tenant, export) = (&self.tenant, &self.name);
                tracing::error!(
                    tenant,
                    export,
                    request = Origin::field(),
                    "can't open the export: {error:#}"
                );
                failing.note_failure(Instant::now());
                Err(Absent::Failed)
            }
        }
    }

    /// What a new connection gets, while `open` is open.
    async fn step(&self, open: &Generation<Opened>) -> Step {
        let opened = open.opened();
        let reloaded = self.reloaded.load(Relaxed);
        let look = if reloaded { Look::Path } else { Look::File };
        let is_planned = Arc::ptr_eq(&opened.plan, &self.plan());
        let is_current = is_planned && opened.is_as_opened(look).await;
        if is_current && reloaded {
            self.reloaded.store(false, Relaxed);
        }
        Step::new(
            is_current,
            open.has_clients(),
            opened.export.is_sole_writer(),
        )
    }

    fn tell_of_pending(&self) {
        let (tenant, export) = (&self.tenant, &self.name);
        tracing::warn!(
            tenant,
            export,
            request = Origin::field(),
            "the configuration or a file of the export has changed: the export stays as it was until all of its \
             clients have left, because only one instance of it may write"
        );
    }

    /// Opens the plan: beside `before` if that has clients, else in its place.
    async fn next_generation(
        &self,
        plan: &Arc<Plan>,
        before: Option<Arc<Generation<Opened>>>,
    ) -> anyhow::Result<Arc<Generation<Opened>>> {
        // The files of `before` stay open and locked throughout, so that no other program gets them in between.
        let files: Vec<Blob> = before
            .iter()
            .flat_map(|before| before.opened().export.blobs().cloned())
            .collect();
        let before = match before {
            Some(before) if !before.has_clients() => {
                // The last client made everything durable that it could when it left; this is the last chance for the
                // rest.
                before.opened().export.settle().await;
                let untold = before.opened().export.has_untold_losses();
                self.set_generation(None);
                untold
            }
            _ => false,
        };
        let export = self.make(plan).await?;
        drop(files);
        if before {
            export.inherit_losses();
        }
        let plan = Arc::clone(plan);
        Ok(Generation::new(Opened { plan, export }))
    }

    /// Loads the plugin.
    ///
    /// # Errors
    /// It can't be loaded.
    pub(crate) async fn load(&self, planned: &Planned) -> anyhow::Result<Arc<Plugin>> {
        let Planned {
            export,
            file,
            digest,
            ..
        } = planned;
        self.library
            .plugin(file, digest, &export.limits, &self.quota, &self.load_permit)
            .await
    }

    /// Loads the filters, the outermost first; `None` for a built-in one.
    ///
    /// # Errors
    /// One can't be loaded.
    pub(crate) async fn load_filters(
        &self,
        planned: &Planned,
    ) -> anyhow::Result<Vec<Option<Arc<Plugin>>>> {
        let Planned {
            export, filters, ..
        } = planned;
        let (library, quota, permit) = (&self.library, &self.quota, &self.load_permit);
        let mut plugins = Vec::with_capacity(filters.len());
        for (filter, planned) in export.filters.iter().zip(filters) {
            let Some(digest) = &planned.digest else {
                plugins.push(None);
                continue;
            };
            let plugin = library.plugin(&planned.file, digest, &filter.limits, quota, permit);
            plugins.push(Some(plugin.await?));
        }
        Ok(plugins)
    }

    /// Loads the plugin, opens the blobs, and opens the export in a first instance.
    ///
    /// # Errors
    /// Something is missing or wrong; the plugin's own text if it refused.
    async fn make(&self, plan: &Plan) -> anyhow::Result<Arc<PluginExport>> {
        let planned = &plan.planned;
        let plugin = self.load(planned).await?;
        let Planned {
            export, settings, ..
        } = planned;
        let filters = self.load_filters(planned).await?;
        let (opener, work) = (
            self.opener.next_generation(),
            self.quota.lane.charging(None),
        );
        let read_only = export.policy.read_only;
        let spec = ExportSpec {
            tenant: self.tenant.clone(),
            metrics: Arc::clone(&plan.metrics),
            name: export.name.clone(),
            settings: settings.clone(),
            blobs: Blob::open_all(&export.blobs, read_only, &opener, &work).await?,
            limits: export.limits.clone(),
            quota: Arc::clone(&self.quota),
            policy: export.policy,
            filters: open_filters(plan, filters, &opener, &work).await?,
        };
        let catalog = PluginCatalog::new(plugin, spec).await?;
        let joined = catalog.join(&export.name).await;
        joined.map_err(|absent| match absent {
            Absent::Unknown => anyhow::anyhow!("the plugin lists no export of this name"),
            _ => anyhow::anyhow!("the plugin refused to open it"),
        })
    }

    /// Checks whether the operator gave the plugin, and each filter, what it needs. Opens the granted files without
    /// locking them, and runs nothing.
    ///
    /// # Errors
    /// All mismatches, one a line; a file can't be opened.
    pub(crate) async fn check(
        &self,
        plugin: &Arc<Plugin>,
        filters: Vec<Option<Arc<Plugin>>>,
    ) -> anyhow::Result<()> {
        let mut planned = self.plan().planned.clone();
        let export = &mut planned.export;
        let granted = export
            .filters
            .iter_mut()
            .flat_map(|filter| &mut filter.blobs);
        for grant in granted.chain(&mut export.blobs) {
            grant.lock = Some(Lock::None);
        }
        let (read_only, opener) = (export.policy.read_only, self.opener.next_generation());
        let work = self.quota.lane.charging(None);
        let blobs = Blob::open_all(&export.blobs, read_only, &opener, &work).await?;
        let mut settings = planned.settings.clone();
        let mut filters = open_filters(&Plan::new(planned), filters, &opener, &work).await?;
        PluginCatalog::check(plugin, &mut settings, &blobs, &mut filters)
    }
}

/// The filters, with their granted files opened.
async fn open_filters(
    plan: &Plan,
    plugins: Vec<Option<Arc<Plugin>>>,
    opener: &Opener,
    work: &Work,
) -> anyhow::Result<Vec<FilterSpec>> {
    let Planned {
        export, filters, ..
    } = &plan.planned;
    let mut specs = Vec::with_capacity(plugins.len());
    let filters = export.filters.iter().zip(filters).zip(&plan.below);
    for (plugin, ((filter, planned), below)) in plugins.into_iter().zip(filters) {
        let blobs: &[Grant] = &filter.blobs;
        let kind = match (plugin, filter.plugin.native()) {
            (Some(plugin), _) => FilterKind::Plugin(Box::new(PluginFilter {
                plugin,
                settings: planned.settings.clone(),
                blobs: Blob::open_all(blobs, export.policy.read_only, opener, work).await?,
                limits: filter.limits.clone(),
            })),
            (None, Some(name)) => native(name, &planned.settings, None)?,
            (None, None) => anyhow::bail!("{} wasn't loaded", filter.plugin),
        };
        specs.push(FilterSpec {
            kind,
            below: Arc::clone(below),
        });
    }
    Ok(specs)
}
