//! The plugin that is shown to clients now.

use std::sync::{Arc, PoisonError, RwLock};

use device::fault::Failure;
use device::identity::Client;
use device::metrics::{CompileMetrics, Observed, SeenExport, SeenTenant};
use device::{Absent, Catalog, Listed, Opened};
use nbdbox_config::limits::Limits;
use runtime::PluginCatalog;

use super::journal::Journal;
use super::timed::Timed;

/// A catalog that another one can take the place of: for those who come later.
#[derive(Debug)]
pub(super) struct Stage {
    current: RwLock<Arc<PluginCatalog>>,
    limits: Limits,
    journal: Arc<Journal>,
}

impl Stage {
    pub(super) fn new(catalog: Arc<PluginCatalog>, journal: Arc<Journal>) -> Self {
        Self {
            limits: catalog.limits().clone(),
            current: RwLock::new(catalog),
            journal,
        }
    }

    pub(super) fn current(&self) -> Arc<PluginCatalog> {
        // What it holds is whole at any time.
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&current)
    }

    pub(super) fn replace(&self, catalog: Arc<PluginCatalog>) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = catalog;
    }
}

impl Observed for Stage {
    fn exports(&self) -> Vec<SeenExport> {
        self.current().exports()
    }

    fn tenants(&self) -> Vec<SeenTenant> {
        self.current().tenants()
    }

    fn compiling(&self) -> Arc<CompileMetrics> {
        self.current().compiling()
    }
}

impl Catalog for Stage {
    type Device = Timed;

    /// The command line's: the same for all that come after each other.
    fn limits(&self) -> &Limits {
        &self.limits
    }

    async fn list(&self, client: &Client) -> Result<Vec<Listed>, Failure> {
        self.current().list(client).await
    }

    async fn find(&self, client: &Client, name: &str) -> Result<Opened<Timed>, Absent> {
        let Opened { served, hold } = self.current().find(client, name).await?;
        let served = Timed::serve(&served, Arc::clone(&self.journal));
        Ok(Opened { served, hold })
    }
}
