//! One export of a tenant: planned, and opened when the first client comes.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use blob::{Blob, Grant};
use device::metrics::{Metrics, SeenExport, SeenLayer, stem};
use device::origin::Origin;
use device::{Absent, Listed, Served, TenantQuota, Terms};
use quota::{Backoff, CountPermit, CountQuota};
use runtime::{ExportSpec, FilterSpec, Plugin, PluginCatalog, PluginExport};
use tokio::sync::{Mutex, Semaphore};

use super::blueprint::Planned;
use super::library::Library;

/// The pause after an export could not be opened; it doubles with each further time. Restrains clients
/// that ask again and again from keeping the host busy with what fails.
const PAUSE: Duration = Duration::from_millis(100);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// An export of a tenant.
#[derive(Debug)]
pub(crate) struct Slot {
    tenant: String,
    planned: Planned,
    quota: Arc<TenantQuota>,
    connections: Arc<CountQuota>,
    library: Arc<Library>,
    /// Its tenant's permit to load a plugin.
    load_permit: Arc<Semaphore>,
    /// The counters of the outermost layer.
    metrics: Arc<Metrics>,
    /// Those of each layer below it.
    below: Vec<Arc<Metrics>>,
    /// Set once; to be had without waiting.
    open: OnceLock<Arc<PluginExport>>,
    /// Held while the export is opened.
    failing: Mutex<Backoff>,
}

/// The permits that a connection holds while it's there: one of the export's, and one of its tenant's.
#[derive(Debug)]
pub(super) struct ConnectionPermits {
    pub(super) _export: CountPermit,
    pub(super) _tenant: CountPermit,
}

impl Slot {
    pub(super) fn new(
        tenant: &str,
        planned: Planned,
        quota: &Arc<TenantQuota>,
        library: &Arc<Library>,
        load_permit: &Arc<Semaphore>,
    ) -> Arc<Self> {
        Arc::new(Self {
            tenant: tenant.to_owned(),
            connections: CountQuota::new(planned.export.limits.connections),
            below: planned.filters.iter().map(|_| Arc::default()).collect(),
            planned,
            quota: Arc::clone(quota),
            library: Arc::clone(library),
            load_permit: Arc::clone(load_permit),
            metrics: Arc::default(),
            open: OnceLock::new(),
            failing: Mutex::new(Backoff::new(PAUSE, LONGEST_PAUSE)),
        })
    }

    /// What it was made of.
    #[must_use]
    pub(crate) fn planned(&self) -> &Planned {
        &self.planned
    }

    /// The export, if somebody has asked for it.
    #[must_use]
    pub(crate) fn opened(&self) -> Option<Arc<PluginExport>> {
        self.open.get().cloned()
    }

    /// It as an operator sees it.
    #[must_use]
    pub(crate) fn seen(&self) -> SeenExport {
        let open = self.open.get();
        let plugin = match open.and_then(|export| export.layers().last()) {
            Some(bottom) => bottom.plugin().name().to_owned(),
            None => stem(&self.planned.export.plugin),
        };
        SeenExport {
            tenant: self.tenant.clone(),
            export: self.planned.export.name.clone(),
            plugin,
            digest: self.planned.digest.to_string(),
            open: open.map(|export| export.seen()),
            metrics: Arc::clone(&self.metrics),
            layers: self.seen_layers(),
        }
    }

    fn seen_layers(&self) -> Vec<SeenLayer> {
        let Planned {
            export,
            digest,
            filters,
            ..
        } = &self.planned;
        let files = export.filters.iter().map(|filter| &filter.plugin);
        let files = files.chain([&export.plugin]);
        let digests = filters.iter().map(|filter| &filter.digest);
        let digests = digests.chain([digest]).map(ToString::to_string);
        let metrics = std::iter::once(&self.metrics).chain(&self.below);
        let layers = files.zip(digests).zip(metrics);
        SeenLayer::stack(layers.map(|((file, digest), metrics)| (&**file, digest, metrics)))
    }

    /// Connections to it.
    #[must_use]
    pub(crate) fn connections(&self) -> usize {
        self.connections.used()
    }

    /// Permits for one more connection, unless there are as many as the export or its tenant may have. Counts the
    /// refusal.
    pub(super) fn take_permits(&self) -> Option<ConnectionPermits> {
        let take = || {
            Some(ConnectionPermits {
                _export: self.connections.take()?,
                _tenant: self.quota.connections.take()?,
            })
        };
        let permits = take();
        if permits.is_none() {
            self.metrics.refused_connections.one();
        }
        permits
    }

    /// It as clients are served: with the operator's description, where there is one.
    pub(super) fn served(&self, export: &Arc<PluginExport>) -> Served<PluginExport> {
        let served = export.served();
        let Some(description) = &self.planned.export.description else {
            return served;
        };
        let mut terms = Terms::clone(served.terms());
        terms.export.description = Some(description.clone());
        served.on(Arc::new(terms))
    }

    /// As it's listed; nothing is opened for it.
    pub(super) fn listed(&self) -> Listed {
        let said = self.opened();
        let said = said.and_then(|export| export.terms().export.description.clone());
        Listed {
            name: self.planned.export.name.clone(),
            description: self.planned.export.description.clone().or(said),
        }
    }

    /// Opens it, or joins it where it's open. Goes on where the client doesn't wait: the next one finds
    /// it done.
    pub(super) async fn open(self: &Arc<Self>) -> Result<Arc<PluginExport>, Absent> {
        let opening = tokio::spawn(Origin::carry(Arc::clone(self).open_or_join()));
        opening.await.unwrap_or(Err(Absent::Failed))
    }

    async fn open_or_join(self: Arc<Self>) -> Result<Arc<PluginExport>, Absent> {
        let mut failing = self.failing.lock().await;
        if let Some(export) = self.opened() {
            return Ok(export);
        }
        if failing.wait(Instant::now()).is_some() {
            return Err(Absent::Failed);
        }
        match self.make().await {
            Ok(export) => {
                failing.note_success();
                Ok(Arc::clone(self.open.get_or_init(|| export)))
            }
            Err(error) => {
                self.metrics.failed_opens.one();
                let (tenant, export) = (&self.tenant, &self.planned.export.name);
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

    /// Loads the plugin.
    ///
    /// # Errors
    /// It can't be loaded.
    pub(crate) async fn load(&self) -> anyhow::Result<Arc<Plugin>> {
        let Planned { export, digest, .. } = &self.planned;
        self.library
            .plugin(&export.plugin, digest, &export.limits, &self.load_permit)
            .await
    }

    /// Loads the filters, the outermost first.
    ///
    /// # Errors
    /// One can't be loaded.
    pub(crate) async fn load_filters(&self) -> anyhow::Result<Vec<Arc<Plugin>>> {
        let Planned {
            export, filters, ..
        } = &self.planned;
        let (library, permit) = (&self.library, &self.load_permit);
        let mut plugins = Vec::with_capacity(filters.len());
        for (filter, planned) in export.filters.iter().zip(filters) {
            let plugin = library.plugin(&filter.plugin, &planned.digest, &filter.limits, permit);
            plugins.push(plugin.await?);
        }
        Ok(plugins)
    }

    /// Loads the plugin, opens the blobs, and opens the export in a first instance.
    ///
    /// # Errors
    /// What is missing or doesn't fit; what the plugin said when it refused.
    pub(crate) async fn make(&self) -> anyhow::Result<Arc<PluginExport>> {
        let plugin = self.load().await?;
        let Planned {
            export, settings, ..
        } = &self.planned;
        let spec = ExportSpec {
            tenant: self.tenant.clone(),
            metrics: Arc::clone(&self.metrics),
            name: export.name.clone(),
            settings: settings.clone(),
            blobs: self.blobs(&export.blobs).await?,
            limits: export.limits.clone(),
            quota: Arc::clone(&self.quota),
            policy: export.policy,
            filters: self.filters(self.load_filters().await?).await?,
        };
        let catalog = PluginCatalog::new(plugin, spec).await?;
        let joined = catalog.join(&export.name).await;
        joined.map_err(|absent| match absent {
            Absent::Unknown => anyhow::anyhow!("the plugin lists no export of this name"),
            _ => anyhow::anyhow!("the plugin refused to open it"),
        })
    }

    /// Whether what the operator gave fits what the plugin, and each filter, says it needs; the granted
    /// files are opened, and nothing is run.
    ///
    /// # Errors
    /// All that doesn't fit, one thing a line; a file can't be opened.
    pub(crate) async fn check(
        &self,
        plugin: &Arc<Plugin>,
        filters: Vec<Arc<Plugin>>,
    ) -> anyhow::Result<()> {
        let blobs = self.blobs(&self.planned.export.blobs).await?;
        let mut filters = self.filters(filters).await?;
        let mut settings = self.planned.settings.clone();
        PluginCatalog::check(plugin, &mut settings, &blobs, &mut filters)
    }

    /// The filters, with what they're given.
    async fn filters(&self, plugins: Vec<Arc<Plugin>>) -> anyhow::Result<Vec<FilterSpec>> {
        let Planned {
            export, filters, ..
        } = &self.planned;
        let mut specs = Vec::with_capacity(plugins.len());
        let filters = export.filters.iter().zip(filters).zip(&self.below);
        for (plugin, ((filter, planned), below)) in plugins.into_iter().zip(filters) {
            specs.push(FilterSpec {
                plugin,
                settings: planned.settings.clone(),
                blobs: self.blobs(&filter.blobs).await?,
                limits: filter.limits.clone(),
                below: Arc::clone(below),
            });
        }
        Ok(specs)
    }

    /// Opens the granted files.
    async fn blobs(&self, grants: &[Grant]) -> anyhow::Result<Vec<Blob>> {
        Blob::open_all(grants, self.planned.export.policy.read_only).await
    }
}
