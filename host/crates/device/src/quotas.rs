//! What one tenant may use, its exports and clients together, and what each export may.
//!
//! Limits can change while they're in use, when the configuration does: what is held beyond a new limit
//! is kept, and nothing more is given until it's back under it.

mod export;
mod kept;
mod process;

use std::sync::Arc;

use fair_cores::{Cores, CpuQuota};
use lanes::Lane;
use nbdbox_config::limits::TenantLimits;
use quota::{CountQuota, FlowQuota, Holder, MappingQuota, MemoryQuota, Rates};

pub use self::export::ExportQuota;
pub use self::kept::KeptMemory;
pub use self::process::ProcessQuota;

/// The name of a tenant that is alone.
const ALONE: &str = "alone";

/// All quotas of one tenant.
#[derive(Debug)]
pub struct TenantQuota {
    /// What all tenants share.
    pub process: Arc<ProcessQuota>,
    /// Memory that the host holds for it: its plugins' instances, what is remembered of its exports, and what is kept
    /// for its clients.
    pub memory: Arc<MemoryQuota>,
    /// Mappings of its plugins' instances.
    pub mappings: Arc<MappingQuota>,
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
    pub fn new(limits: &TenantLimits, process: &Arc<ProcessQuota>) -> Arc<Self> {
        Arc::new(Self::made(ALONE, limits, process, None))
    }

    /// Quotas with these limits, for a tenant of this name that shares the cores with others.
    #[must_use]
    pub fn sharing(
        name: &str,
        limits: &TenantLimits,
        process: &Arc<ProcessQuota>,
        cores: &Arc<Cores>,
    ) -> Arc<Self> {
        let cpu = CpuQuota::new(cores, limits.cpu_weight);
        Arc::new(Self::made(name, limits, process, Some(cpu)))
    }

    fn made(
        name: &str,
        limits: &TenantLimits,
        process: &Arc<ProcessQuota>,
        cpu: Option<Arc<CpuQuota>>,
    ) -> Self {
        Self {
            memory: MemoryQuota::within(&process.memory, Holder::Tenant, limits.memory),
            mappings: MappingQuota::within(&process.mappings, Holder::Tenant, limits.mappings),
            process: Arc::clone(process),
            instances: CountQuota::new(limits.instances),
            connections: CountQuota::new(limits.connections),
            flow: FlowQuota::new(limits.requests, limits.inflight),
            rates: Rates::new(limits.iops, limits.bandwidth),
            cpu,
            lane: Lane::new(name),
        }
    }

    /// No limits except those of the exports.
    #[must_use]
    pub fn unlimited() -> Arc<Self> {
        Self::unlimited_within(&ProcessQuota::unlimited())
    }

    /// No limits except those of the exports and of the process.
    #[must_use]
    pub fn unlimited_within(process: &Arc<ProcessQuota>) -> Arc<Self> {
        let limits = TenantLimits {
            requests: usize::MAX,
            inflight: u64::MAX,
            ..TenantLimits::of_the_command_line()
        };
        Self::new(&limits, process)
    }

    /// Sets other limits.
    pub fn set(&self, limits: &TenantLimits) {
        self.memory.set(limits.memory);
        self.mappings.set(limits.mappings);
        self.instances.set(limits.instances);
        self.connections.set(limits.connections);
        self.flow.set(limits.requests, limits.inflight);
        self.rates.set(limits.iops, limits.bandwidth);
        if let Some(cpu) = &self.cpu {
            cpu.set(limits.cpu_weight);
        }
    }
}
