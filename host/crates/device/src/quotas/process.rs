//! What the whole process may use, with all its tenants.

use std::sync::Arc;

use quota::{Holder, MappingQuota, MemoryQuota};

/// Resources that run out for all tenants at once: a request that is denied them isn't at fault.
#[derive(Debug)]
pub struct ProcessQuota {
    /// Memory that the host holds for tenants, in bytes.
    pub memory: Arc<MemoryQuota>,
    /// Mappings of the address space that the host holds for tenants.
    pub mappings: Arc<MappingQuota>,
}

impl ProcessQuota {
    /// Quotas of `memory` bytes and `mappings` mappings.
    #[must_use]
    pub fn new(memory: u64, mappings: u64) -> Arc<Self> {
        Arc::new(Self {
            memory: MemoryQuota::new(Holder::Process, memory),
            mappings: MappingQuota::new(Holder::Process, mappings),
        })
    }

    /// Quotas that limit nothing.
    #[must_use]
    pub fn unlimited() -> Arc<Self> {
        Self::new(u64::MAX, u64::MAX)
    }
}
