//! What an export promises to its clients, and what they may use of it: data, the same for its whole life.

use std::sync::Arc;

use fair_cores::CpuShare;
use nbd_proto::Export;
use nbdbox_config::limits::Limits;
use nbdbox_config::policy::ExtentsOnError;
use quota::{FlowQuota, Rates};

use crate::ExportQuota;

/// The terms on which a device is served.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Whose export it is, for the log; empty where there are no tenants.
    pub tenant: String,
    /// What clients get to see.
    pub export: Export,
    /// The limits of each connection.
    pub limits: Limits,
    /// What all connections may use together; `None` for an export that shares nothing. Its own limits may change
    /// while it's in use.
    pub quota: Option<Arc<ExportQuota>>,
    /// Whether it tells holes from data. Where it doesn't, everything is data.
    pub sparse: bool,
    /// What a client gets when the device can't tell its extents.
    pub extents_on_error: ExtentsOnError,
}

impl Terms {
    /// The tenant, if there are any.
    #[must_use]
    pub fn tenant(&self) -> Option<&str> {
        Some(&self.tenant[..]).filter(|tenant| !tenant.is_empty())
    }

    /// What all connections may have in flight together, of the export first, then of its tenant.
    #[must_use]
    pub fn flows(&self) -> [Option<&Arc<FlowQuota>>; 2] {
        let quota = self.quota.as_ref();
        quota.map_or([None; 2], |quota| quota.flows())
    }

    /// The export's share of the cores, where tenants share them.
    #[must_use]
    pub fn cpu(&self) -> Option<&Arc<CpuShare>> {
        self.quota.as_ref()?.cpu.as_ref()
    }

    /// Requests and bytes a second, of the export and of its tenant. Both hold. `None` where neither has a rate.
    #[must_use]
    pub fn rates(&self) -> Option<[&Rates; 2]> {
        self.quota.as_ref()?.rates()
    }
}
