//! What an export advertises to its clients, and what they may use of it: data that stays the same for its whole life.

use std::sync::Arc;

use fair_cores::CpuShare;
use nbd_proto::Export;
use nbdbox_config::limits::Limits;
use nbdbox_config::policy::ExtentsOnError;
use quota::{FlowQuota, Rates};

use crate::ExportQuota;

/// The terms on which a device is served. [`Limits`] and flags don't change; quotas may.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The tenant's name, for the log; empty if there are no tenants.
    pub tenant: String,
    /// Name, size, block sizes and flags, as clients see them.
    pub export: Export,
    /// The limits of each connection.
    pub limits: Limits,
    /// What all connections may use together; `None` for an export without quotas. A reload may change the limits in
    /// it.
    pub quota: Option<Arc<ExportQuota>>,
    /// Whether the device distinguishes holes from data. If not, everything is data.
    pub sparse: bool,
    /// What a client gets when the device fails to describe its extents.
    pub extents_on_error: ExtentsOnError,
}

impl Terms {
    /// The tenant's name, if there are tenants.
    #[must_use]
    pub fn tenant(&self) -> Option<&str> {
        Some(&self.tenant[..]).filter(|tenant| !tenant.is_empty())
    }

    /// What limits the requests in flight on all connections: the export's quota first, then its tenant's.
    #[must_use]
    pub fn flows(&self) -> [Option<&Arc<FlowQuota>>; 2] {
        let quota = self.quota.as_ref();
        quota.map_or([None; 2], |quota| quota.flows())
    }

    /// The export's share of the cores; `None` if tenants don't share them.
    #[must_use]
    pub fn cpu(&self) -> Option<&Arc<CpuShare>> {
        self.quota.as_ref()?.cpu.as_ref()
    }

    /// What limits requests and bytes a second: the export's rates and its tenant's, which both apply. `None` if
    /// neither has a rate.
    #[must_use]
    pub fn rates(&self) -> Option<[&Rates; 2]> {
        self.quota.as_ref()?.rates()
    }
}
