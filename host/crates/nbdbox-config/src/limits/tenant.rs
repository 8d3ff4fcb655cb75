//! What a tenant may use, all its exports and clients together.

use super::{Field, Key};

/// The limits of one tenant. Those of its exports hold besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantLimits {
    /// Bytes that the host holds for the tenant: its plugins' instances with their memories and tables, what is
    /// remembered of its exports, what is kept for its clients. Restrains one tenant from taking the machine's memory
    /// by many exports, each within its own limit.
    pub memory: u64,
    /// Instances of all its plugins. Restrains it from taking the host's memory by small ones.
    pub instances: usize,
    /// Mappings of the address space that all its instances may take: about 8 each, and 4 for each memory beyond the
    /// first. Restrains it from taking those of the process, of which Linux gives 65,530.
    pub mappings: u64,
    /// Connections of all its clients. Restrains it from taking the process's descriptors.
    pub connections: usize,
    /// Requests under way on all its connections. Restrains it from taking the host's memory and
    /// threads by many connections.
    pub requests: usize,
    /// Bytes of requests and replies under way on all its connections; one request may be larger.
    pub inflight: u64,
    /// Requests a second on all its connections. Restrains it from keeping the host busy.
    pub iops: Option<u64>,
    /// Bytes a second that all its clients read and write. Restrains it from taking the network and the
    /// disks.
    pub bandwidth: Option<u64>,
    /// Its share of the cores where tenants compete for them: a tenant with 200 gets twice what one with
    /// 100 gets. Where nobody competes it holds nobody back.
    pub cpu_weight: u64,
}

impl Default for TenantLimits {
    fn default() -> Self {
        Self {
            memory: 1 << 30,
            instances: 64,
            mappings: 4096,
            connections: 256,
            requests: 1024,
            inflight: 256 << 20,
            iops: None,
            bandwidth: None,
            cpu_weight: 100,
        }
    }
}

impl TenantLimits {
    /// Those of the one tenant that a command line has: what it may have of memory, instances, mappings and connections
    /// is the process's and the export's affair, and its clients have a tenant's defaults.
    #[must_use]
    pub fn of_the_command_line() -> Self {
        Self {
            memory: u64::MAX,
            instances: usize::MAX,
            mappings: u64::MAX,
            connections: usize::MAX,
            ..Self::default()
        }
    }

    /// Their names, in the order of the manual.
    pub const KEYS: &[Key<Self>] = &[
        Key {
            name: "memory",
            about: "bytes that the host holds for the tenant: its plugins' instances, its exports' remembered mappings, its connections' buffers",
            least: 64 << 10,
            most: u64::MAX,
            field: |limits| Field::Bytes(&mut limits.memory),
        },
        Key {
            name: "instances",
            about: "instances of all its plugins",
            least: 1,
            most: 100_000,
            field: |limits| Field::Count(&mut limits.instances),
        },
        Key {
            name: "mappings",
            about: "mappings of the address space in all instances of its plugins: about 8 each, and 4 for each memory beyond the first",
            least: 16,
            most: 1_000_000,
            field: |limits| Field::Number(&mut limits.mappings),
        },
        Key {
            name: "connections",
            about: "connections of all its clients",
            least: 1,
            most: 100_000,
            field: |limits| Field::Count(&mut limits.connections),
        },
        Key {
            name: "requests",
            about: "requests in flight on all its connections",
            least: 1,
            most: 1_000_000,
            field: |limits| Field::Count(&mut limits.requests),
        },
        Key {
            name: "inflight",
            about: "bytes of requests and replies in flight on all its connections",
            least: 1,
            most: u64::MAX,
            field: |limits| Field::Bytes(&mut limits.inflight),
        },
        Key {
            name: "iops",
            about: "requests a second on all its connections",
            least: 1,
            most: 1_000_000_000,
            field: |limits| Field::NumberOrNone(&mut limits.iops),
        },
        Key {
            name: "bandwidth",
            about: "bytes a second that all its clients read and write",
            least: 4 << 10,
            most: 1 << 50,
            field: |limits| Field::BytesOrNone(&mut limits.bandwidth),
        },
        Key {
            name: "cpu-weight",
            about: "share of the cores while tenants compete for them: 200 gets twice what 100 gets",
            least: 1,
            most: 10_000,
            field: |limits| Field::Number(&mut limits.cpu_weight),
        },
    ];
}
