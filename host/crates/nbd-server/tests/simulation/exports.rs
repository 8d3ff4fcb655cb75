//! The catalog: one export, its tenant's quotas, and its counters.

use std::sync::Arc;

use device::fault::Failure;
use device::identity::Client;
use device::metrics::Metrics;
use device::{
    Absent, Catalog, ExportQuota, Listed, Opened, ProcessQuota, Served, TenantQuota, Terms,
};
use fair_cores::Cores;
use nbd_proto::Errno;
use nbdbox_config::limits::Limits;
use quota::CountPermit;

use crate::disk::{Disk, Door};
use crate::schedule::Schedule;

/// Bytes of memory that the process has for its tenants.
const MEMORY: u64 = 1 << 40;

pub(crate) struct Exports {
    disk: Arc<Disk>,
    terms: Arc<Terms>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) process: Arc<ProcessQuota>,
    pub(crate) quota: Arc<ExportQuota>,
}

impl Exports {
    pub(crate) fn new(schedule: &Schedule, disk: Arc<Disk>) -> Arc<Self> {
        let process = ProcessQuota::new(MEMORY, 0);
        let tenant = TenantQuota::new(&schedule.tenant, &process);
        let quota = ExportQuota::new(&schedule.limits, &tenant);
        let terms = Terms {
            tenant: "tenant".to_owned(),
            export: schedule.export.clone(),
            limits: schedule.limits.clone(),
            quota: Some(Arc::clone(&quota)),
            sparse: true,
            extents_on_error: schedule.extents_on_error,
        };
        Arc::new(Self {
            disk,
            terms: Arc::new(terms),
            metrics: Arc::default(),
            process,
            quota,
        })
    }

    /// Whether a rate limits the requests.
    pub(crate) fn has_rates(&self) -> bool {
        self.quota.rates().is_some()
    }
}

/// A connection's permit. The server holds it until the connection has ended.
struct Hold {
    _permit: CountPermit,
    disk: Arc<Disk>,
    client: usize,
}

impl Drop for Hold {
    fn drop(&mut self) {
        assert!(
            !self.disk.keeps(self.client),
            "a connection goes on without its permit"
        );
    }
}

impl Catalog for Exports {
    type Device = Door;

    fn limits(&self) -> &Limits {
        &self.terms.limits
    }

    fn cores(&self) -> Option<&Arc<Cores>> {
        // The slices of a core cost real time, which no seed repeats.
        None
    }

    async fn list(&self, _: &Client) -> Result<Vec<Listed>, Failure> {
        if !self.disk.around().await {
            return Err(Failure::host(Errno::Eio, "there is no list"));
        }
        Ok(vec![Listed {
            name: self.terms.export.name.clone(),
            description: None,
        }])
    }

    async fn find(&self, client: &Client, name: &str) -> Result<Opened<Door>, Absent> {
        if name != self.terms.export.name {
            return Err(Absent::Unknown);
        }
        let permit = self.quota.tenant.connections.take().ok_or(Absent::Full)?;
        if !self.disk.around().await {
            return Err(Absent::Failed);
        }
        // The world names each listener after its client.
        let client = client.listener.parse().unwrap();
        let door = Door {
            disk: Arc::clone(&self.disk),
            client,
        };
        let (terms, metrics) = (Arc::clone(&self.terms), Arc::clone(&self.metrics));
        Ok(Opened {
            served: Served::new(Arc::new(door), terms, metrics),
            hold: Some(Box::new(Hold {
                _permit: permit,
                disk: Arc::clone(&self.disk),
                client,
            })),
        })
    }
}
