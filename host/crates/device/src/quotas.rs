//! What one tenant may use, its exports and clients together, and what each export may.
//!
//! Limits can change while they're in use, when the configuration does: what is held beyond a new limit
//! is kept, and nothing more is given until it's back under it.

mod export;

use std::sync::Arc;

use fair_cores::{Cores, CpuQuota};
use lanes::Lane;
use nbdbox_config::limits::TenantLimits;
use quota::{CountQuota, FlowQuota, MemoryQuota, Rates};

pub use self::export::ExportQuota;

/// The name of a tenant that is alone.
const ALONE: &str = "alone";

/// All quotas of one tenant.
#[derive(Debug)]
pub struct TenantQuota {
    /// Memory of its plugins' instances.
    pub memory: Arc<MemoryQuota>,
    /// Instances of its plugins.
    pub instances: Arc<CountQuota>,
    /// Connections of its clients.
    pub connections: Arc<CountQuota>,
    /// Requests under way, and their bytes.
    pub flow: Arc<FlowQuota>,
    /// Requests and bytes a second.
    pub rates: Rates,
    /// Its share of the cores, where they're shared.
    pub cpu: Option<Arc<CpuQuota>>,
    /// Threads for what blocks.
    pub lane: Lane,
}

impl TenantQuota {
    /// Quotas with these limits, for a tenant that has the cores to itself.
    #[must_use]
    pub fn new(limits: &TenantLimits) -> Arc<Self> {
        Arc::new(Self::made(ALONE, limits, None))
    }

    /// Quotas with these limits, for a tenant of this name that shares the cores with others.
    #[must_use]
    pub fn sharing(name: &str, limits: &TenantLimits, cores: &Arc<Cores>) -> Arc<Self> {
        let cpu = CpuQuota::new(cores, limits.cpu_weight);
        Arc::new(Self::made(name, limits, Some(cpu)))
    }

    fn made(name: &str, limits: &TenantLimits, cpu: Option<Arc<CpuQuota>>) -> Self {
        Self {
            memory: MemoryQuota::new(limits.memory),
            instances: CountQuota::new(limits.instances),
            connections: CountQuota::new(limits.connections),
            flow: FlowQuota::new(limits.requests, limits.inflight),
            rates: Rates::new(limits.iops, limits.bandwidth),
            cpu,
            lane: Lane::new(name),
        }
    }

    /// No limits but those of the exports.
    #[must_use]
    pub fn unlimited() -> Arc<Self> {
        Self::new(&TenantLimits {
            memory: u64::MAX,
            instances: usize::MAX,
            connections: usize::MAX,
            requests: usize::MAX,
            inflight: u64::MAX,
            ..TenantLimits::default()
        })
    }

    /// Sets other limits.
    pub fn set(&self, limits: &TenantLimits) {
        self.memory.set(limits.memory);
        self.instances.set(limits.instances);
        self.connections.set(limits.connections);
        self.flow.set(limits.requests, limits.inflight);
        self.rates.set(limits.iops, limits.bandwidth);
        if let Some(cpu) = &self.cpu {
            cpu.set(limits.cpu_weight);
        }
    }
}
