//! What a tenant may use, with all its exports and clients.

use serde::{Deserialize, Serialize};

use super::{Field, Key};

/// The limits of one tenant. Those of its exports apply too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantLimits {
    /// Bytes that the host holds for the tenant: its plugins' instances with their memories and tables, what the host
    /// remembers of its exports, and what it keeps for its clients. Restrains a tenant that could take the machine's
    /// memory by many exports, each within its own limit.
    pub memory: u64,
    /// Instances of all its plugins. Restrains a tenant that could take the host's memory by small instances.
    pub instances: usize,
    /// Mappings of the address space that all its instances may take: about 8 each, and 4 for each memory beyond the
    /// first. Restrains a tenant that could take those of the process, to which Linux gives 65,530.
    pub mappings: u64,
    /// Connections of all its clients. Restrains a tenant that could take the process's descriptors.
    pub connections: usize,
    /// Requests in flight on all its connections. Restrains a tenant that could take the host's memory and threads by
    /// many connections.
    pub requests: usize,
    /// Bytes of requests and replies in flight on all its connections; a single request may be larger.
    pub inflight: u64,
    /// Requests a second on all its connections. Restrains a tenant that could keep the host busy.
    pub iops: Option<u64>,
    /// Bytes a second that all its clients read and write. Restrains a tenant that could take the network and the
    /// disks.
    pub bandwidth: Option<u64>,
    /// Its share of the cores while tenants compete for them: a tenant with 200 gets twice what one with 100 gets.
    /// Without competition it restrains nobody.
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
    /// The limits of the only tenant of a command line. The process's and the export's limits bound its memory,
    /// instances, mappings and connections; the rest are a tenant's defaults.
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

    /// The definitions of these limits, in the order of the manual.
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
