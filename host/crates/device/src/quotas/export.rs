//! What one export may use, beside what its tenant may.

use std::sync::Arc;

use fair_cores::CpuShare;
use lanes::Work;
use nbdbox_config::limits::Limits;
use quota::{FlowQuota, Holder, MemoryQuota, Rates};

use super::TenantQuota;

/// All quotas of one export: its own, and its tenant's.
#[derive(Debug)]
pub struct ExportQuota {
    /// Its tenant's.
    pub tenant: Arc<TenantQuota>,
    /// Memory that the host holds for it, within its tenant's.
    pub memory: Arc<MemoryQuota>,
    /// Requests under way on all its connections, and their bytes, if they're limited.
    flow: Option<Arc<FlowQuota>>,
    rates: Rates,
    /// Its share of the cores, where they're shared.
    pub cpu: Option<Arc<CpuShare>>,
    /// The way to its tenant's threads, for what blocks.
    pub work: Work,
}

impl ExportQuota {
    /// Quotas with these limits.
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

    /// What limits the requests under way, the export first.
    #[must_use]
    pub fn flows(&self) -> [Option<&Arc<FlowQuota>>; 2] {
        let tenant = Some(&self.tenant.flow).filter(|flow| flow.is_limited());
        [self.flow.as_ref(), tenant]
    }

    /// What limits requests and bytes a second: both hold. `None` where neither has a limit.
    #[must_use]
    pub fn rates(&self) -> Option<[&Rates; 2]> {
        let rates = [&self.rates, &self.tenant.rates];
        let free = rates.iter().all(|rates| rates.is_free());
        (!free).then_some(rates)
    }
}
