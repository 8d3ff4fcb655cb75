//! What a tenant may use, with all its exports and clients, and what each export may use.
//!
//! A reload may change limits while they're in use. The tenant keeps what it holds beyond a lower limit, and gets
//! nothing more until it's below that limit.

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

/// The name of the only tenant of a server without tenants.
const ALONE: &str = "alone";

/// All quotas of one tenant.
#[derive(Debug)]
pub struct TenantQuota {
    /// What all tenants share.
    pub process: Arc<ProcessQuota>,
    /// Memory that the host holds for the tenant, in bytes: its plugins' instances, what the host remembers of its
    /// exports, and buffers for its clients.
    pub memory: Arc<MemoryQuota>,
    /// Mappings of its plugins' instances.
    pub mappings: Arc<MappingQuota>,
    /// Instances of its plugins.
    pub instances: Arc<CountQuota>,
    /// Connections of its clients.
    pub connections: Arc<CountQuota>,
    /// Its requests in flight, and their bytes.
    pub flow: Arc<FlowQuota>,
    /// Its requests and bytes a second.
    pub rates: Rates,
    /// Its share of the cores; `None` if it has them to itself.
    pub cpu: Option<Arc<CpuQuota>>,
    /// Its threads for blocking work.
    pub lane: Lane,
}

impl TenantQuota {
    /// Quotas for a tenant that has the cores to itself.
    #[must_use]
    pub fn new(limits: &TenantLimits, process: &Arc<ProcessQuota>) -> Arc<Self> {
        Arc::new(Self::made(ALONE, limits, process, None))
    }

    /// Quotas for a tenant of this name that shares the cores with others.
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

    /// Quotas that limit nothing: only the exports' own limits apply.
    #[must_use]
    pub fn unlimited() -> Arc<Self> {
        Self::unlimited_within(&ProcessQuota::unlimited())
    }

    /// Quotas that limit nothing: only the limits of the exports and of the process apply.
    #[must_use]
    pub fn unlimited_within(process: &Arc<ProcessQuota>) -> Arc<Self> {
        let limits = TenantLimits {
            requests: usize::MAX,
            inflight: u64::MAX,
            ..TenantLimits::of_the_command_line()
        };
        Self::new(&limits, process)
    }

    /// Replaces the limits.
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
