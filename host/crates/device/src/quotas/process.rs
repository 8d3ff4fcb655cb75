//! What the whole process may use, all tenants together.

use std::sync::Arc;

use quota::{Holder, MappingQuota, MemoryQuota};

/// What runs out for everybody: whoever asks for more then isn't to blame for it.
#[derive(Debug)]
pub struct ProcessQuota {
    /// Memory that the host holds for tenants.
    pub memory: Arc<MemoryQuota>,
    /// Mappings of the address space that it holds for them.
    pub mappings: Arc<MappingQuota>,
}

impl ProcessQuota {
    /// So many bytes, and so many mappings.
    #[must_use]
    pub fn new(memory: u64, mappings: u64) -> Arc<Self> {
        Arc::new(Self {
            memory: MemoryQuota::new(Holder::Process, memory),
            mappings: MappingQuota::new(Holder::Process, mappings),
        })
    }

    /// As much as the machine gives.
    #[must_use]
    pub fn unlimited() -> Arc<Self> {
        Self::new(u64::MAX, u64::MAX)
    }
}
