//! The catalog of `nbdbox dev`: the build that clients get now.

use std::sync::Arc;

use super::journal::Journal;
use super::timed::Timed;
use crate::hosting::Standalone;
use device::fault::Failure;
use device::identity::Client;
use device::metrics::{CompileMetrics, Observed, SeenExport, SeenTenant};
use device::{Absent, Catalog, Listed, Opened, ProcessQuota};
use fair_cores::Cores;
use nbdbox_config::limits::Limits;

/// The build that new connections get, and the journal of all calls.
#[derive(Debug)]
pub(super) struct Stage {
    shown: Standalone,
    journal: Arc<Journal>,
}

impl Stage {
    pub(super) fn new(shown: Standalone, journal: Arc<Journal>) -> Self {
        Self { shown, journal }
    }

    pub(super) fn shown(&self) -> &Standalone {
        &self.shown
    }
}

impl Observed for Stage {
    fn exports(&self) -> Vec<SeenExport> {
        self.shown.exports()
    }

    fn tenants(&self) -> Vec<SeenTenant> {
        self.shown.tenants()
    }

    fn process(&self) -> Arc<ProcessQuota> {
        self.shown.process()
    }

    fn compiling(&self) -> Arc<CompileMetrics> {
        self.shown.compiling()
    }
}

impl Catalog for Stage {
    type Device = Timed;

    /// The command line's limits, which are the same for all builds.
    fn limits(&self) -> &Limits {
        self.shown.limits()
    }

    fn cores(&self) -> Option<&Arc<Cores>> {
        None
    }

    async fn list(&self, client: &Client) -> Result<Vec<Listed>, Failure> {
        self.shown.list(client).await
    }

    async fn find(&self, client: &Client, name: &str) -> Result<Opened<Timed>, Absent> {
        let Opened { served, hold } = self.shown.find(client, name).await?;
        let served = Timed::serve(&served, Arc::clone(&self.journal));
        Ok(Opened { served, hold })
    }
}
