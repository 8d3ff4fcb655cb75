//! The exports of one plugin. The first client opens an export, and all clients share it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use anyhow::{bail, ensure};
use blob::{Access, Blob, Look};
use device::fault::{Cause, Failure};
use device::identity::Client;
use device::metrics::{CompileMetrics, Metrics, Observed, SeenExport, SeenLayer, SeenTenant};
use device::{Absent, Catalog, Device as _, ExportQuota, Listed, Opened, ProcessQuota};
use fair_cores::Cores;
use native_filters::Native;
use nbd_proto::Errno;
use nbd_proto::limits::MAX_STRING;
use nbdbox_config::limits::{FILTERS, Limits};
use nbdbox_config::settings::Settings;
use thiserror::Error;
use tokio::sync::Mutex;

use crate::abi::interfaces::Interfaces;
use crate::abi::names::Names;
use crate::export::PluginLayer;
use crate::export::spec::{ExportSpec, FilterKind, FilterSpec, PluginFilter};
use crate::export::stack::PluginExport;
use crate::instance::CallError;
use crate::instance::context::{ExportContext, Grants};
use crate::loaded::plugin::Plugin;
use crate::next::Next;

/// The most exports that a plugin may list, and the most of them that may be open at once. Restrains the plugin.
const LISTED: usize = 1024;

/// A plugin or filter as a layer, and what the operator gave it.
struct LayerSpec<'a> {
    plugin: &'a Arc<Plugin>,
    settings: &'a Settings,
    blobs: &'a [Blob],
    limits: &'a Limits,
    metrics: &'a Arc<Metrics>,
}

/// The exports of one plugin, with the filters over it.
#[derive(Debug)]
pub struct PluginCatalog {
    plugin: Arc<Plugin>,
    spec: ExportSpec,
    open: Mutex<HashMap<String, Arc<PluginExport>>>,
    /// The export that the operator named. A plugin that lists its own exports has none.
    own: OnceLock<Arc<PluginExport>>,
    /// Held during a call of `list-exports`, so that at most one instance does that, for any number of clients.
    listing: Mutex<()>,
}

impl PluginCatalog {
    /// Checks settings and grants against the plugin's manifest, and opens the plugin's export. So mistakes show now
    /// and not when the first client comes. If the plugin lists its exports, it calls `list-exports` instead.
    ///
    /// May wait for guests and for threads. Dropping the future gives it up.
    ///
    /// # Errors
    /// Every setting and grant that doesn't fit; or the plugin's reason for refusing to open.
    pub async fn new(plugin: Arc<Plugin>, mut spec: ExportSpec) -> anyhow::Result<Self> {
        Self::check(&plugin, &mut spec.settings, &spec.blobs, &mut spec.filters)?;
        if spec.name.len() > MAX_STRING || spec.name.contains('\0') {
            bail!("the export's name is longer than {MAX_STRING} bytes or has a NUL in it");
        }
        let lists = plugin.world().has(Interfaces::EXPORT_LIST);
        let catalog = Self {
            plugin,
            spec,
            open: Mutex::default(),
            own: OnceLock::new(),
            listing: Mutex::default(),
        };
        let opened = if lists {
            let asked = catalog.ask_list().await.map(drop);
            asked.map_err(|failure| Refused::new(&catalog.plugin, failure))
        } else {
            let own = catalog.open(&catalog.spec.name).await;
            own.map(|own| drop(catalog.own.set(own)))
        };
        opened?;
        Ok(catalog)
    }

    /// Checks the operator's settings and grants for a plugin and the filters over it, and adds the default values.
    ///
    /// # Errors
    /// Everything that doesn't fit, one problem a line.
    pub fn check(
        plugin: &Plugin,
        settings: &mut Settings,
        blobs: &[Blob],
        filters: &mut [FilterSpec],
    ) -> anyhow::Result<()> {
        let mut wrong = Vec::new();
        if plugin.world().has(Interfaces::FILTER) {
            let name = plugin.name();
            wrong.push(format!("{name} is a filter: it needs a plugin below"));
        }
        let checked = plugin.check(settings, blobs);
        wrong.extend(checked.err().map(|error| error.to_string()));
        for filter in &mut *filters {
            let FilterKind::Plugin(filter) = &mut filter.kind else {
                continue;
            };
            let name = filter.plugin.name().to_owned();
            if !filter.plugin.world().has(Interfaces::FILTER) {
                wrong.push(format!("{name} isn't a filter, but a plugin"));
            }
            let checked = filter.plugin.check(&mut filter.settings, &filter.blobs);
            let said = checked.err().map(|error| error.to_string());
            let lines = said.iter().flat_map(|said| said.lines());
            wrong.extend(lines.map(|line| format!("the filter {name}: {line}")));
        }
        if filters.len() > FILTERS {
            let count = filters.len();
            wrong.push(format!(
                "there are {count} filters; at most {FILTERS} are allowed"
            ));
        }
        ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
        Ok(())
    }

    /// Returns a catalog with the same blobs at their present sizes, over the same open files. Before that, it makes
    /// the changes of this catalog's clients durable. Then it opens the export, as [`new`](Self::new) does.
    ///
    /// # Errors
    /// As for [`new`](Self::new); or a blob can't be opened again.
    pub async fn renewed(&self) -> anyhow::Result<Self> {
        for export in self.open.lock().await.values() {
            export.settle().await;
        }
        let mut spec = self.spec.clone();
        spec.blobs = Blob::renew_all(spec.blobs).await?;
        for filter in &mut spec.filters {
            if let FilterKind::Plugin(filter) = &mut filter.kind {
                filter.blobs = Blob::renew_all(std::mem::take(&mut filter.blobs)).await?;
            }
        }
        let next = Self::new(Arc::clone(&self.plugin), spec).await?;
        if let (Some(next), Some(before)) = (next.own.get(), self.own.get())
            && before.has_untold_losses()
        {
            next.inherit_losses();
        }
        Ok(next)
    }

    /// Whether no blob has grown since it was opened. A thread looks at the files, and this waits for it.
    pub async fn is_as_opened(&self) -> bool {
        Blob::are_as_opened(self.blobs().cloned().collect(), Look::File).await
    }

    /// Whether the plugin or a filter may write to a blob.
    #[must_use]
    pub fn writes_to_blobs(&self) -> bool {
        self.blobs().any(|blob| blob.access() == Access::ReadWrite)
    }

    fn blobs(&self) -> impl Iterator<Item = &Blob> {
        let filters = self.spec.filters.iter().filter_map(FilterSpec::plugin);
        let of_filters = filters.flat_map(|filter| &filter.blobs);
        self.spec.blobs.iter().chain(of_filters)
    }

    /// Whether any open export [is a sole writer](PluginExport::is_sole_writer).
    pub async fn is_sole_writer(&self) -> bool {
        let open = self.open.lock().await;
        open.values().any(|export| export.is_sole_writer())
    }

    /// The plugin at the bottom, below all filters.
    #[must_use]
    pub fn plugin(&self) -> &Plugin {
        &self.plugin
    }

    /// Opens the export that clients call `name`, or joins it if it's open. May wait for guests.
    ///
    /// # Errors
    /// No export has that name, or it can't be opened.
    pub async fn join(&self, name: &str) -> Result<Arc<PluginExport>, Absent> {
        let name = self.resolve(name).await?;
        self.open(&name).await.map_err(|_| Absent::Failed)
    }

    /// The counters of each layer, the outermost first.
    fn metrics(&self) -> impl Iterator<Item = &Arc<Metrics>> {
        let below = self.spec.filters.iter().map(|filter| &filter.below);
        std::iter::once(&self.spec.metrics).chain(below)
    }

    /// A filter that is a plugin, as a layer.
    fn filter_layer<'a>(filter: &'a PluginFilter, metrics: &'a Arc<Metrics>) -> LayerSpec<'a> {
        LayerSpec {
            plugin: &filter.plugin,
            settings: &filter.settings,
            blobs: &filter.blobs,
            limits: &filter.limits,
            metrics,
        }
    }

    /// The plugin at the bottom, as a layer.
    fn bottom(&self) -> LayerSpec<'_> {
        let below = self.spec.filters.last().map(|filter| &filter.below);
        LayerSpec {
            plugin: &self.plugin,
            settings: &self.spec.settings,
            blobs: &self.spec.blobs,
            limits: &self.spec.limits,
            metrics: below.unwrap_or(&self.spec.metrics),
        }
    }

    /// Makes the quota of an export, for all of its layers together.
    fn quota(&self) -> Arc<ExportQuota> {
        ExportQuota::new(&self.spec.limits, &self.spec.quota)
    }

    /// Makes the context of the instances of `layer`, over the layer below `next`.
    fn context(
        &self,
        name: &str,
        layer: &LayerSpec<'_>,
        quota: &Arc<ExportQuota>,
        next: Option<Arc<Next>>,
    ) -> ExportContext {
        let names = Names {
            tenant: self.spec.tenant.clone(),
            export: name.to_owned(),
            plugin: layer.plugin.name().to_owned(),
        };
        let work = quota.work.counting(&layer.metrics.lane);
        let grants = Grants {
            settings: layer.settings.clone(),
            blobs: layer
                .blobs
                .iter()
                .map(|blob| blob.charged_to(&work))
                .collect(),
            next,
            changes_bytes: layer.plugin.changes_bytes(),
        };
        let (metrics, quota) = (Arc::clone(layer.metrics), Arc::clone(quota));
        ExportContext::new(names, metrics, quota, grants, layer.limits.clone())
    }

    /// Opens an export with all of its layers, or joins it if it's open.
    async fn open(&self, name: &str) -> Result<Arc<PluginExport>, Refused> {
        let mut open = self.open.lock().await;
        if let Some(export) = open.get(name) {
            return Ok(Arc::clone(export));
        }
        if open.len() >= LISTED {
            let text = "the plugin lists different exports each time, and too many are open";
            let failure = Failure::plugin(Cause::Budget, text);
            return Err(Refused::new(&self.plugin, failure));
        }
        // One quota for all layers, which share it.
        let quota = self.quota();
        let bottom = self.bottom();
        let bottom = self.open_layer(name, &bottom, &quota, None).await?;
        let mut export = PluginExport::of(bottom);
        // From the bottom up.
        let filters: Vec<_> = self.spec.filters.iter().zip(self.metrics()).collect();
        for (filter, metrics) in filters.into_iter().rev() {
            match &filter.kind {
                FilterKind::Plugin(filter) => {
                    let layer = Self::filter_layer(filter, metrics);
                    let layer = self.open_layer(name, &layer, &quota, Some(&export)).await?;
                    export.put_on(layer);
                }
                FilterKind::Native(native) => {
                    let opened = native.open(&quota.work).await;
                    opened.map_err(|text| Refused::native(native, text))?;
                    let put_on = export.put_on_native(native, metrics);
                    put_on.map_err(|text| Refused::native(native, text))?;
                }
            }
        }
        let export = Arc::new(export);
        open.insert(name.to_owned(), Arc::clone(&export));
        Ok(export)
    }

    /// Opens one layer over `below`.
    async fn open_layer(
        &self,
        name: &str,
        layer: &LayerSpec<'_>,
        quota: &Arc<ExportQuota>,
        below: Option<&PluginExport>,
    ) -> Result<PluginLayer, Refused> {
        let losses = below.map(PluginExport::losses).unwrap_or_default();
        let ctx = self.context(name, layer, quota, below.map(PluginExport::next));
        let plugin = Arc::clone(layer.plugin);
        let opened = PluginLayer::open(plugin, ctx, self.spec.policy, losses).await;
        opened
            .inspect_err(|failure| layer.metrics.blame(failure))
            .map_err(|failure| Refused::new(layer.plugin, failure))
    }

    /// Calls `list-exports` in an instance that nothing else uses.
    ///
    /// # Errors
    /// The instance can't be made, or the plugin refused.
    async fn ask_list(&self) -> Result<Vec<Listed>, Failure> {
        let _one_at_a_time = self.listing.lock().await;
        let bottom = self.bottom();
        let ctx = Arc::new(self.context("", &bottom, &self.quota(), None));
        let listed = async {
            let mut instance = self.plugin.instance(&ctx, 0).await?;
            let listed = instance.list_exports().await;
            listed.map_err(CallError::into_failure)
        };
        let listed = listed
            .await
            .inspect_err(|failure| bottom.metrics.blame(failure))?;
        let fits = |name: &str| name.len() <= MAX_STRING && !name.contains('\0');
        let exports = listed
            .into_iter()
            .filter(|listed| fits(&listed.name))
            .map(|listed| Listed {
                name: listed.name,
                description: listed.description,
            })
            .take(LISTED);
        Ok(exports.collect())
    }

    /// Returns the plugin's own name for the export that clients call `name`.
    ///
    /// # Errors
    /// No export has that name, or the plugin can't list its exports.
    async fn resolve(&self, name: &str) -> Result<String, Absent> {
        let own = &self.spec.name;
        let asked = if name.is_empty() { own } else { name };
        if !self.plugin.world().has(Interfaces::EXPORT_LIST) {
            return if asked == own {
                Ok(own.clone())
            } else {
                Err(Absent::Unknown)
            };
        }
        let listed = self.ask_list().await.map_err(|_| Absent::Failed)?;
        let found = listed.into_iter().find(|listed| listed.name == *asked);
        found.map(|listed| listed.name).ok_or(Absent::Unknown)
    }
}

/// The layer that didn't open, and the reason.
#[derive(Debug, Error)]
#[error("{by} refused to open: {}", said(failure))]
struct Refused {
    by: String,
    failure: Failure,
}

impl Refused {
    fn new(plugin: &Plugin, failure: Failure) -> Self {
        let by = plugin.name().to_owned();
        Self { by, failure }
    }

    fn native(native: &Native, text: String) -> Self {
        Self {
            by: native.name().as_str().to_owned(),
            failure: Failure::answer(Errno::Einval, Some(text)),
        }
    }
}

/// The failure's text and errno.
fn said(failure: &Failure) -> String {
    match &failure.text[..] {
        "" => failure.errno.to_string(),
        text => format!("{text} ({})", failure.errno),
    }
}

impl Observed for PluginCatalog {
    fn exports(&self) -> Vec<SeenExport> {
        let told = |plugin: &Plugin| (plugin.file().to_owned(), plugin.digest().to_string());
        let filters = self.spec.filters.iter().map(|filter| match &filter.kind {
            FilterKind::Plugin(filter) => told(&filter.plugin),
            FilterKind::Native(native) => (native.name().as_str().into(), String::new()),
        });
        let files = filters.chain([told(&self.plugin)]);
        let files: Vec<(PathBuf, String)> = files.collect();
        let layers = files.iter().zip(self.metrics());
        let layers = layers.map(|((file, digest), metrics)| (&**file, digest.clone(), metrics));
        vec![SeenExport {
            tenant: self.spec.tenant.clone(),
            export: self.spec.name.clone(),
            plugin: self.plugin.name().to_owned(),
            digest: self.plugin.digest().to_string(),
            open: self.own.get().map(|own| own.seen()),
            pending: false,
            metrics: Arc::clone(&self.spec.metrics),
            layers: SeenLayer::stack(layers),
        }]
    }

    fn tenants(&self) -> Vec<SeenTenant> {
        Vec::new()
    }

    fn process(&self) -> Arc<ProcessQuota> {
        Arc::clone(&self.spec.quota.process)
    }

    fn compiling(&self) -> Arc<CompileMetrics> {
        Arc::clone(self.plugin.compiling())
    }
}

impl Catalog for PluginCatalog {
    type Device = PluginExport;

    fn limits(&self) -> &Limits {
        &self.spec.limits
    }

    fn cores(&self) -> Option<&Arc<Cores>> {
        None
    }

    async fn list(&self, _: &Client) -> Result<Vec<Listed>, Failure> {
        if self.plugin.world().has(Interfaces::EXPORT_LIST) {
            return self.ask_list().await;
        }
        let export = self.open(&self.spec.name).await;
        let export = export.map_err(|refused| refused.failure)?;
        let description = export.terms().export.description.clone();
        Ok(vec![Listed {
            name: self.spec.name.clone(),
            description,
        }])
    }

    async fn find(&self, _: &Client, name: &str) -> Result<Opened<PluginExport>, Absent> {
        let joined = self.join(name).await;
        if matches!(joined, Err(Absent::Failed)) {
            self.spec.metrics.failed_opens.one();
        }
        let served = joined?.served();
        Ok(Opened { served, hold: None })
    }
}
