//! The exports of a command line: those of one plugin, for one tenant.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};

use device::fault::Failure;
use device::identity::Client;
use device::metrics::{CompileMetrics, Observed, SeenExport, SeenTenant};
use device::{Absent, Catalog, Listed, Opened, ProcessQuota};
use fair_cores::Cores;
use nbdbox_config::limits::Limits;
use runtime::{PluginCatalog, PluginExport};
use tokio::sync::{Mutex, Notify};

use super::generation::{Generation, Presence, Step};

/// A plugin's exports, opened anew when their files have grown.
#[derive(Debug)]
pub(crate) struct Standalone {
    limits: Limits,
    open: RwLock<Arc<Generation<PluginCatalog>>>,
    /// Held while it's decided what a connection gets.
    deciding: Mutex<()>,
    /// New connections get what is open, though there's something new.
    pending: AtomicBool,
    left: Arc<Notify>,
}

/// A connection's hold: says when it has left.
struct Hold {
    presence: Option<Presence<PluginCatalog>>,
    left: Arc<Notify>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.presence = None;
        self.left.notify_one();
    }
}

impl Standalone {
    pub(crate) fn new(catalog: PluginCatalog) -> Self {
        Self {
            limits: catalog.limits().clone(),
            open: RwLock::new(Generation::new(catalog)),
            deciding: Mutex::default(),
            pending: AtomicBool::new(false),
            left: Arc::default(),
        }
    }

    /// What is open for those who come next.
    pub(crate) fn current(&self) -> Arc<Generation<PluginCatalog>> {
        // What it holds is whole at any time.
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&open)
    }

    /// Opens something else for those who come next.
    pub(crate) fn replace(&self, catalog: PluginCatalog) {
        let next = Generation::new(catalog);
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *open, next);
        drop(open);
        drop(before);
        self.pending.store(false, Relaxed);
    }

    /// Whether somebody is connected to what mustn't be open beside another one, since it writes to granted files.
    pub(crate) async fn has_writer_of_files(&self) -> bool {
        let open = self.current();
        let catalog = open.opened();
        open.has_clients() && catalog.writes_to_blobs() && catalog.is_sole_writer().await
    }

    /// Waits until a connection has left. Dropping it loses nothing; it may be that none has left since the last time.
    pub(crate) async fn left(&self) {
        self.left.notified().await;
    }

    async fn enter(&self) -> Presence<PluginCatalog> {
        let _turn = self.deciding.lock().await;
        let open = self.current();
        let catalog = open.opened();
        let is_sole_writer = catalog.is_sole_writer().await;
        let is_current = catalog.is_as_opened().await;
        match Step::new(is_current, open.has_clients(), is_sole_writer) {
            Step::Join => self.pending.store(false, Relaxed),
            Step::JoinOld => {
                if !self.pending.swap(true, Relaxed) {
                    tracing::warn!(
                        target: "nbdbox::service",
                        "a granted file has grown: it's opened anew when the last client that is connected now, \
                         or comes meanwhile, has left, since only one instance of the plugin may write"
                    );
                }
            }
            Step::Open => match catalog.renewed().await {
                Ok(next) => self.replace(next),
                Err(error) => tracing::error!(
                    target: "nbdbox::service",
                    "a granted file has grown, and it can't be opened so; it stays as it was: {error:#}"
                ),
            },
        }
        self.current().enter()
    }
}

impl Observed for Standalone {
    fn exports(&self) -> Vec<SeenExport> {
        let mut exports = self.current().opened().exports();
        for export in &mut exports {
            export.pending = self.pending.load(Relaxed);
        }
        exports
    }

    fn tenants(&self) -> Vec<SeenTenant> {
        self.current().opened().tenants()
    }

    fn process(&self) -> Arc<ProcessQuota> {
        self.current().opened().process()
    }

    fn compiling(&self) -> Arc<CompileMetrics> {
        self.current().opened().compiling()
    }
}

impl Catalog for Standalone {
    type Device = PluginExport;

    fn limits(&self) -> &Limits {
        &self.limits
    }

    fn cores(&self) -> Option<&Arc<Cores>> {
        None
    }

    async fn list(&self, client: &Client) -> Result<Vec<Listed>, Failure> {
        self.current().opened().list(client).await
    }

    async fn find(&self, client: &Client, name: &str) -> Result<Opened<PluginExport>, Absent> {
        let presence = self.enter().await;
        let generation = Arc::clone(presence.generation());
        let hold = Hold {
            presence: Some(presence),
            left: Arc::clone(&self.left),
        };
        let Opened { served, .. } = generation.opened().find(client, name).await?;
        Ok(Opened {
            served,
            hold: Some(Box::new(hold)),
        })
    }
}
