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
    /// Held while a new connection gets its generation.
    deciding: Mutex<()>,
    /// New connections get what is open, although something is new.
    pending: AtomicBool,
    left: Arc<Notify>,
}

/// A connection's hold. Dropping it reports that the connection has left.
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

    /// The generation for new connections.
    pub(crate) fn current(&self) -> Arc<Generation<PluginCatalog>> {
        // A panic can't leave the value incomplete.
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&open)
    }

    /// Makes `catalog` the generation for new connections.
    pub(crate) fn replace(&self, catalog: PluginCatalog) {
        let next = Generation::new(catalog);
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *open, next);
        drop(open);
        drop(before);
        self.pending.store(false, Relaxed);
    }

    /// Whether a client is connected to an export that mustn't be open beside another one, because it writes to granted
    /// files.
    pub(crate) async fn has_writer_of_files(&self) -> bool {
        let open = self.current();
        let catalog = open.opened();
        open.has_clients() && catalog.writes_to_blobs() && catalog.is_sole_writer().await
    }

    /// Waits until a connection has left. Dropping the future is safe. May return at once for a connection that left
    /// before.
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
                        "a granted file has grown: the export stays as it was until all of its \
                         clients have left, because only one instance of the plugin may write"
                    );
                }
            }
            Step::Open => match catalog.renewed().await {
                Ok(next) => self.replace(next),
                Err(error) => tracing::error!(
                    target: "nbdbox::service",
                    "a granted file has grown, but the export can't be opened anew and stays as it was: {error:#}"
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
