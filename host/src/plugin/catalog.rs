//! The exports of one plugin: opened at first use, shared by all clients.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use anyhow::bail;
use nbd_proto::limits::MAX_STRING;
use nbdbox_config::policy::Policy;
use tokio::sync::Mutex;

use super::export::PluginExport;
use super::guest::Surroundings;
use super::instance::CallError;
use super::loaded::Plugin;
use super::log::GuestLog;
use super::names::Names;
use crate::blob::Blob;
use crate::device::{Absent, Catalog, Device as _, Listed};
use crate::fault::{Cause, Failure};
use crate::identity::Client;
use crate::limits::Limits;
use crate::metrics::{CompileMetrics, Metrics, Observed, SeenExport, SeenTenant};
use crate::peaks::Peaks;
use crate::quota::TenantQuota;
use crate::settings::Settings;

/// Exports that a plugin may list, and that are open at once. Restrains the plugin.
const LISTED: usize = 1024;

/// What the operator decided about an export.
#[derive(Clone, Debug)]
pub struct ExportSpec {
    /// Whose it is; empty where there are no tenants.
    pub tenant: String,
    /// Its name; where the plugin lists exports of its own, the one that stands for the empty name.
    pub name: String,
    /// `KEY=VALUE` settings.
    pub settings: Settings,
    /// Granted files.
    pub blobs: Vec<Blob>,
    /// Limits.
    pub limits: Limits,
    /// What its tenant may use.
    pub quota: Arc<TenantQuota>,
    /// Its counters. Where the plugin lists exports of its own they're counted together: what a plugin
    /// says becomes nobody's label.
    pub metrics: Arc<Metrics>,
    /// What to do when something goes wrong, and whether it may be written.
    pub policy: Policy,
}

/// The exports of one plugin.
#[derive(Debug)]
pub struct PluginCatalog {
    plugin: Arc<Plugin>,
    spec: ExportSpec,
    open: Mutex<HashMap<String, Arc<PluginExport>>>,
    /// The one that isn't listed by the plugin.
    own: OnceLock<Arc<PluginExport>>,
    /// Held while the plugin is asked for its exports: one instance for that, however many ask.
    listing: Mutex<()>,
}

impl PluginCatalog {
    /// Checks settings and grants against what the plugin says of itself, and opens its export:
    /// what is wrong shows now, not when the first client comes.
    ///
    /// # Errors
    /// Every setting and grant that doesn't fit; what the plugin said when it refused to open.
    pub async fn new(plugin: Arc<Plugin>, mut spec: ExportSpec) -> anyhow::Result<Self> {
        plugin.check(&mut spec.settings, &spec.blobs)?;
        if spec.name.len() > MAX_STRING || spec.name.contains('\0') {
            bail!("the export's name is longer than {MAX_STRING} bytes or has a NUL in it");
        }
        let lists = plugin.world().export_list;
        let catalog = Self {
            plugin,
            spec,
            open: Mutex::default(),
            own: OnceLock::new(),
            listing: Mutex::default(),
        };
        let opened = if lists {
            catalog.ask_list().await.map(drop)
        } else {
            let own = catalog.open(&catalog.spec.name).await;
            own.map(|own| drop(catalog.own.set(own)))
        };
        if let Err(failure) = opened {
            let said = match &failure.text[..] {
                "" => failure.errno.to_string(),
                text => format!("{text} ({})", failure.errno),
            };
            bail!("{} refused to open: {said}", catalog.plugin.name());
        }
        Ok(catalog)
    }

    /// The plugin.
    #[must_use]
    pub fn plugin(&self) -> &Plugin {
        &self.plugin
    }

    /// Opens an export that clients call `name`, or joins it where it's open.
    ///
    /// # Errors
    /// There is none of that name; the plugin refused.
    pub async fn join(&self, name: &str) -> Result<Arc<PluginExport>, Absent> {
        let name = self.resolve(name).await?;
        self.open(&name).await.map_err(|_| Absent::Failed)
    }

    fn surroundings(&self, name: &str) -> Arc<Surroundings> {
        let metrics = Arc::clone(&self.spec.metrics);
        let names = Names {
            tenant: self.spec.tenant.clone(),
            export: name.to_owned(),
            plugin: self.plugin.name().to_owned(),
        };
        let log = GuestLog::new(names.clone(), self.spec.limits.log, Arc::clone(&metrics));
        Arc::new(Surroundings {
            names,
            settings: self.spec.settings.clone(),
            blobs: self.spec.blobs.clone(),
            limits: self.spec.limits.clone(),
            metrics,
            quota: Arc::clone(&self.spec.quota),
            log: Arc::new(log),
            peaks: Peaks::default(),
        })
    }

    /// Opens an export, or joins it where it's open.
    async fn open(&self, name: &str) -> Result<Arc<PluginExport>, Failure> {
        let mut open = self.open.lock().await;
        if let Some(export) = open.get(name) {
            return Ok(Arc::clone(export));
        }
        if open.len() >= LISTED {
            let text = "the plugin lists other exports each time, and too many are open";
            return Err(Failure::plugin(Cause::Budget, text));
        }
        let export = PluginExport::open(
            Arc::clone(&self.plugin),
            self.surroundings(name),
            self.spec.policy,
        )
        .await?;
        let export = Arc::new(export);
        open.insert(name.to_owned(), Arc::clone(&export));
        Ok(export)
    }

    /// Asks the plugin for its exports, in an instance of their own.
    async fn ask_list(&self) -> Result<Vec<Listed>, Failure> {
        let _one_at_a_time = self.listing.lock().await;
        let around = self.surroundings("");
        let mut instance = self.plugin.instance(&around, 0).await?;
        let listed = instance
            .list_exports()
            .await
            .map_err(CallError::into_failure)?;
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

    /// The name under which the plugin knows what a client calls `name`.
    async fn resolve(&self, name: &str) -> Result<String, Absent> {
        let own = &self.spec.name;
        let asked = if name.is_empty() { own } else { name };
        if !self.plugin.world().export_list {
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

impl Observed for PluginCatalog {
    fn exports(&self) -> Vec<SeenExport> {
        vec![SeenExport {
            tenant: self.spec.tenant.clone(),
            export: self.spec.name.clone(),
            plugin: self.plugin.name().to_owned(),
            digest: self.plugin.digest().to_string(),
            open: self.own.get().map(|own| own.seen()),
            metrics: Arc::clone(&self.spec.metrics),
        }]
    }

    fn tenants(&self) -> Vec<SeenTenant> {
        Vec::new()
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

    async fn list(&self, _: &Client) -> Result<Vec<Listed>, Failure> {
        if self.plugin.world().export_list {
            return self.ask_list().await;
        }
        let export = self.open(&self.spec.name).await?;
        let description = export.export().description.clone();
        Ok(vec![Listed {
            name: self.spec.name.clone(),
            description,
        }])
    }

    async fn find(&self, _: &Client, name: &str) -> Result<Arc<PluginExport>, Absent> {
        let joined = self.join(name).await;
        if matches!(joined, Err(Absent::Failed)) {
            self.spec.metrics.failed_opens.one();
        }
        joined
    }
}
