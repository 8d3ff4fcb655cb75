//! Every limit that an operator can set, with its default, whom it restrains and why.

pub mod key;
mod tenant;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use key::{Field, Key, LimitError};
pub use tenant::TenantLimits;

/// The limits of one export and of the connections to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of memory and tables in one instance, plus the host's memory for its globals, functions, imports and core
    /// instances. Restrains the plugin, which could take the host's memory.
    pub memory: u64,
    /// CPU time of one call, for each started 4 MiB of the request's payload (see [`Limits::cpu_for`]). Restrains the
    /// plugin: an endless loop ends here.
    pub cpu: Duration,
    /// CPU time of `open`, which may read tables.
    pub open_cpu: Duration,
    /// Wall-clock time of one request, in all layers and their queues, and of each call of a guest. Waits for a core or
    /// a blob don't count, because others are responsible for them. Restrains a plugin that waits for ever, and filters
    /// that make calls without end.
    pub wall: Duration,
    /// Wall-clock time of one operation of storage, such as a flush of a granted file; `None` for no limit. Restrains
    /// the operator's disk: an operation that takes longer fails as the host's fault.
    pub storage: Option<Duration>,
    /// Time after which the log reports an operation of storage that goes on.
    pub storage_warning: Duration,
    /// Instances of a `parallel` export. Restrains the export: each instance may take `memory`.
    pub instances: usize,
    /// Extents in one reply. Restrains the plugin; a client sends another request for the rest.
    pub extents: usize,
    /// Bytes in which the host remembers where an immutable export's bytes are, and its extents. Restrains the plugin,
    /// whose mapping may have any number of pieces; with 0 the host remembers nothing.
    pub mapping: u64,
    /// Simultaneous connections; further clients wait. Restrains strangers, who could take the process's descriptors.
    pub connections: usize,
    /// Requests in flight on one connection. Restrains the client: its further requests wait in its socket.
    pub requests: usize,
    /// Bytes of requests and replies in flight on one connection; a single request may be larger. Restrains the client.
    pub inflight: u64,
    /// Requests a second, on all connections to the export. Restrains the clients: further requests wait.
    pub iops: Option<u64>,
    /// Bytes read and written a second, on all connections to the export. Restrains the clients: further requests wait.
    pub bandwidth: Option<u64>,
    /// Bytes that the host holds for the export: all its instances, what the host remembers of it, and what its
    /// connections keep between requests. Restrains the plugin and the clients.
    pub total_memory: Option<u64>,
    /// Requests in flight on all connections to the export. Restrains its clients, who could take what their tenant
    /// needs for other exports.
    pub total_requests: Option<u64>,
    /// Bytes of requests and replies in flight on all connections to the export; a single request may be larger.
    pub total_inflight: Option<u64>,
    /// Its part of its tenant's share of the cores, relative to the tenant's other exports.
    pub cpu_weight: u64,
    /// Bytes a second that a plugin may log. Restrains the plugin, which could fill the operator's disk.
    pub log: u64,
    /// Time without a request after which the server closes a connection; `None` for never. Restrains clients that hold
    /// a connection and don't use it.
    pub idle: Option<Duration>,
    /// Time for which a client may stop half-way in a payload, or read no replies, while other connections wait for the
    /// requests or bytes that it holds. Restrains clients that stop half-way. The server leaves such a client alone if
    /// nobody waits.
    pub stall: Duration,
    /// Time for a client's handshake. Restrains idle and slow strangers.
    pub handshake: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 64 << 20,
            cpu: Duration::from_millis(100),
            open_cpu: Duration::from_secs(1),
            wall: Duration::from_secs(30),
            storage: None,
            storage_warning: Duration::from_secs(30),
            instances: 4,
            extents: 16_384,
            mapping: 16 << 20,
            connections: 256,
            requests: 64,
            inflight: 64 << 20,
            iops: None,
            bandwidth: None,
            total_memory: None,
            total_requests: None,
            total_inflight: None,
            cpu_weight: 100,
            log: 16 << 10,
            idle: None,
            stall: Duration::from_secs(10),
            handshake: Duration::from_secs(10),
        }
    }
}

/// Bytes of payload for which a call gets its CPU time once.
const CPU_SHARE: u64 = 4 << 20;

/// Bytes of one line of a plugin's log; the host truncates longer lines. Restrains the plugin.
pub const LOG_LINE: usize = 4096;

/// Live handles in one instance. Restrains a plugin that leaks them.
pub const HANDLES: u32 = 256;

/// Pieces in one read reply or write plan. Restrains the plugin: each piece costs the host 32 bytes and possibly a
/// system call.
pub const PIECES: usize = 4096;

/// Calls to a layer below that run at once while the filter waits: by one call of a filter, and by all filters of a
/// stack together for one client request (or for one piece, if the host splits the request). Restrains the filters:
/// their own time stands still meanwhile.
pub const QUESTIONS: u32 = 4096;

/// Filters over a plugin. Restrains only mistakes: each filter makes every request cost more.
pub const FILTERS: usize = 8;

/// Bytes that a guest may pass in one host call in addition to those that the request itself covers, and the most bytes
/// of one direct read of a blob. Restrains the plugin: lifting a list allocates memory.
pub const DIRECT: u32 = 1 << 20;

/// Bytes of a plugin's file. Restrains its supplier: the host hashes and compiles the file.
pub const COMPONENT: u64 = 64 << 20;

/// Bytes of compiled code that the compiler may write. Restrains the component's author.
pub const COMPILED: u64 = 1 << 30;

/// Bytes that an instance may take of the host in addition to its memories and tables, whatever its limit is. Restrains
/// the component's author: a component may be made of others that multiply, and the compiler would follow them.
pub const INSTANCE: u64 = 1 << 30;

/// Address space of the compiler's process. Restrains the component's author.
pub const COMPILER_MEMORY: u64 = 4 << 30;

/// Wall-clock time for compiling a component; its CPU time may be twice that. Restrains the component's author.
pub const COMPILER_TIME: Duration = Duration::from_secs(120);

/// The definitions of the limits for `--limit`, in the order of the manual.
pub const KEYS: &[Key<Limits>] = &[
    Key {
        name: "memory",
        about: "bytes of memory and tables in one instance, and of the host's memory for its globals, functions and imports",
        least: 64 << 10,
        most: u64::MAX,
        field: |limits| Field::Bytes(&mut limits.memory),
    },
    Key {
        name: "cpu",
        about: "CPU time of one call, for each started 4 MiB of payload",
        least: 0,
        most: 0,
        field: |limits| Field::Time(&mut limits.cpu),
    },
    Key {
        name: "open-cpu",
        about: "CPU time of `open`, `describe` and `changes-bytes`",
        least: 0,
        most: 0,
        field: |limits| Field::Time(&mut limits.open_cpu),
    },
    Key {
        name: "wall",
        about: "wall-clock time of a request, queues included, waits for a core or a blob excluded",
        least: 0,
        most: 0,
        field: |limits| Field::Time(&mut limits.wall),
    },
    Key {
        name: "storage",
        about: "wall-clock time of one operation of a granted file, such as a flush",
        least: 0,
        most: 0,
        field: |limits| Field::TimeOrNever(&mut limits.storage),
    },
    Key {
        name: "storage-warning",
        about: "time after which the log reports an unfinished operation of a granted file",
        least: 0,
        most: 0,
        field: |limits| Field::Time(&mut limits.storage_warning),
    },
    Key {
        name: "instances",
        about: "instances of a `parallel` plugin, each with `memory` of its own",
        least: 1,
        most: 1024,
        field: |limits| Field::Count(&mut limits.instances),
    },
    Key {
        name: "extents",
        about: "extents that the host keeps for one reply",
        least: 1,
        most: 1 << 20,
        field: |limits| Field::Count(&mut limits.extents),
    },
    Key {
        name: "mapping",
        about: "bytes in which the host remembers an immutable export's mapping and extents",
        least: 0,
        most: u64::MAX,
        field: |limits| Field::Bytes(&mut limits.mapping),
    },
    Key {
        name: "log",
        about: "bytes that the plugin logs in a second",
        least: 0,
        most: u64::MAX,
        field: |limits| Field::Bytes(&mut limits.log),
    },
    Key {
        name: "connections",
        about: "simultaneous connections",
        least: 1,
        most: 100_000,
        field: |limits| Field::Count(&mut limits.connections),
    },
    Key {
        name: "requests",
        about: "requests in flight on one connection",
        least: 1,
        most: 4096,
        field: |limits| Field::Count(&mut limits.requests),
    },
    Key {
        name: "inflight",
        about: "bytes of requests and replies in flight on one connection",
        least: 1,
        most: u64::MAX,
        field: |limits| Field::Bytes(&mut limits.inflight),
    },
    Key {
        name: "iops",
        about: "requests a second, on all connections to the export",
        least: 1,
        most: 1_000_000_000,
        field: |limits| Field::NumberOrNone(&mut limits.iops),
    },
    Key {
        name: "bandwidth",
        about: "bytes read and written a second, on all connections to the export",
        least: 4 << 10,
        most: 1 << 50,
        field: |limits| Field::BytesOrNone(&mut limits.bandwidth),
    },
    Key {
        name: "total-memory",
        about: "bytes that the host holds for the export: its instances, its remembered mappings, its connections' buffers",
        least: 64 << 10,
        most: u64::MAX,
        field: |limits| Field::BytesOrNone(&mut limits.total_memory),
    },
    Key {
        name: "total-requests",
        about: "requests in flight on all connections to the export",
        least: 1,
        most: 1_000_000,
        field: |limits| Field::NumberOrNone(&mut limits.total_requests),
    },
    Key {
        name: "total-inflight",
        about: "bytes of requests and replies in flight on all connections to the export",
        least: 1,
        most: u64::MAX,
        field: |limits| Field::BytesOrNone(&mut limits.total_inflight),
    },
    Key {
        name: "cpu-weight",
        about: "its part of the tenant's share of the cores while its exports compete: 200 gets twice what 100 gets",
        least: 1,
        most: 10_000,
        field: |limits| Field::Number(&mut limits.cpu_weight),
    },
    Key {
        name: "idle",
        about: "time without a request, on a connection with none in flight",
        least: 0,
        most: 0,
        field: |limits| Field::TimeOrNever(&mut limits.idle),
    },
    Key {
        name: "stall",
        about: "time in which a client moves less than 64 KiB of a payload or of replies while others wait for what it holds",
        least: 0,
        most: 0,
        field: |limits| Field::Time(&mut limits.stall),
    },
    Key {
        name: "handshake",
        about: "time for the handshake",
        least: 0,
        most: 0,
        field: |limits| Field::Time(&mut limits.handshake),
    },
];

impl Limits {
    /// The CPU time of a call that moves `length` bytes. A reply of 32 MiB takes longer than one of 4 KiB, and the
    /// largest advertised request must be possible.
    #[must_use]
    pub fn cpu_for(&self, length: u64) -> Duration {
        let shares = length.div_ceil(CPU_SHARE).max(1);
        self.cpu
            .saturating_mul(u32::try_from(shares).unwrap_or(u32::MAX))
    }

    /// Sets limits from a list such as `memory=64MiB,cpu=100ms`.
    ///
    /// # Errors
    /// Names the first mistake and what was expected.
    pub fn set(&mut self, list: &str) -> Result<(), LimitError> {
        let words = list.split(',').filter(|word| !word.is_empty());
        for word in words {
            let (name, value) = word
                .split_once('=')
                .ok_or_else(|| LimitError::Syntax(word.to_owned()))?;
            key::set(KEYS, self, name, value)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_sets_what_it_names() {
        let mut limits = Limits::default();
        limits.set("memory=1GiB,cpu=2s,extents=3").unwrap();
        let expected = Limits {
            memory: 1 << 30,
            cpu: Duration::from_secs(2),
            extents: 3,
            ..Limits::default()
        };
        assert_eq!(limits, expected);
    }

    #[test]
    fn every_key_is_known_and_no_other() {
        for Key { name, .. } in KEYS {
            let error = Limits::default()
                .set(&format!("{name}=nonsense"))
                .unwrap_err();
            assert!(
                matches!(error, LimitError::Value { name: named, .. } if named == *name),
                "{name}"
            );
        }
        let error = Limits::default().set("speed=1").unwrap_err();
        assert!(matches!(error, LimitError::Unknown { name, .. } if name == "speed"));
    }

    #[test]
    fn large_requests_get_more_cpu_time() {
        let limits = Limits::default();
        assert_eq!(limits.cpu_for(0), limits.cpu);
        assert_eq!(limits.cpu_for(4 << 20), limits.cpu);
        assert_eq!(limits.cpu_for((4 << 20) + 1), 2 * limits.cpu);
        assert_eq!(limits.cpu_for(32 << 20), 8 * limits.cpu);
    }

    #[test]
    fn zero_is_no_limit() {
        for word in [
            "memory=0",
            "cpu=0ms",
            "instances=0",
            "extents=0",
            "requests=0",
            "cpu",
        ] {
            assert!(Limits::default().set(word).is_err(), "{word}");
        }
    }
}
