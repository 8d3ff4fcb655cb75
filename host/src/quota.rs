//! What the exports and clients of one tenant may use together.
//!
//! Limits can change while they're in use, when the configuration does: what is held beyond a new limit
//! is kept, and nothing more is given until it's back under it.

mod count;
mod flow;
mod memory;

use std::sync::Arc;

pub use count::{CountQuota, CountShare};
pub use flow::{FlowQuota, Turn};
pub use memory::{MemoryQuota, MemoryShare};

use crate::limits::TenantLimits;

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
}

impl TenantQuota {
    /// Quotas with these limits.
    #[must_use]
    pub fn new(limits: &TenantLimits) -> Arc<Self> {
        Arc::new(Self {
            memory: MemoryQuota::new(limits.memory),
            instances: CountQuota::new(limits.instances),
            connections: CountQuota::new(limits.connections),
            flow: FlowQuota::new(limits.requests, limits.inflight),
        })
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
        })
    }

    /// Sets other limits.
    pub fn set(&self, limits: &TenantLimits) {
        self.memory.set(limits.memory);
        self.instances.set(limits.instances);
        self.connections.set(limits.connections);
        self.flow.set(limits.requests, limits.inflight);
    }
}
