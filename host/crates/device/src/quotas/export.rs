//! What one export may use, in addition to its tenant's quotas.

use std::sync::Arc;

use fair_cores::CpuShare;
use lanes::Work;
use nbdbox_config::limits::Limits;
use quota::{FlowQuota, Holder, MemoryQuota, Rates};

use super::TenantQuota;

/// All quotas of one export: its own, and those of its tenant.
#[derive(Debug)]
pub struct ExportQuota {
    /// The quotas of its tenant.
    pub tenant: Arc<TenantQuota>,
    /// Memory that the host holds for the export, in bytes, within its tenant's.
    pub memory: Arc<MemoryQuota>,
    /// Requests in flight on all its connections, and their bytes, if they're limited.
    flow: Option<Arc<FlowQuota>>,
    rates: Rates,
    /// Its share of the cores; `None` if its tenant has them to itself.
    pub cpu: Option<Arc<CpuShare>>,
    /// Its access to its tenant's threads for blocking work.
    pub work: Work,
}

impl ExportQuota {
    /// Quotas for an export of `tenant`.
    #[must_use]
    pub fn new(limits: &Limits, tenant: &Arc<TenantQuota>) -> Arc<Self> {
        let (requests, bytes) = (limits.total_requests, limits.total_inflight);
        let flow = (requests.is_some() || bytes.is_some()).then(|| {
            let requests = requests.and_then(|most| usize::try_from(most).ok());
            FlowQuota::new(requests.unwrap_or(usize::MAX), bytes.unwrap_or(u64::MAX))
        });
        let cpu = tenant.cpu.as_ref();
        let cpu = cpu.map(|cpu| CpuShare::new(cpu, limits.cpu_weight));
        Arc::new(Self {
            memory: MemoryQuota::within(
                &tenant.memory,
                Holder::Export,
                limits.total_memory.unwrap_or(u64::MAX),
            ),
            flow,
            rates: Rates::new(limits.iops, limits.bandwidth),
            work: tenant.lane.charging(cpu.clone()),
            cpu,
            tenant: Arc::clone(tenant),
        })
    }

    /// What limits the requests in flight: the export's quota, then its tenant's.
    #[must_use]
    pub fn flows(&self) -> [Option<&Arc<FlowQuota>>; 2] {
        let tenant = Some(&self.tenant.flow).filter(|flow| flow.is_limited());
        [self.flow.as_ref(), tenant]
    }

    /// What limits requests and bytes a second: the export's rates and its tenant's, which both apply. `None` if
    /// neither has a limit.
    #[must_use]
    pub fn rates(&self) -> Option<[&Rates; 2]> {
        let rates = [&self.rates, &self.tenant.rates];
        let free = rates.iter().all(|rates| rates.is_free());
        (!free).then_some(rates)
    }
}
