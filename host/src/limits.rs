//! Every limit that an operator can set, with its default, whom it restrains and why.

use std::time::Duration;

use thiserror::Error;

use crate::size;

/// The limits of one export and of the connections to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory and tables in one instance. Restrains the plugin, which would otherwise take
    /// the host's.
    pub memory: u64,
    /// CPU time of one call, for each 4 MiB of the request's payload that were begun (see
    /// [`Limits::cpu_for`]). Restrains the plugin: a loop ends here.
    pub cpu: Duration,
    /// CPU time of `open`, which may read tables.
    pub open_cpu: Duration,
    /// Time on the clock for one call, waiting for the host included. Restrains a plugin that waits
    /// for ever, and a disk that does.
    pub wall: Duration,
    /// Instances of a `parallel` export. Restrains the export: each may take `memory`.
    pub instances: usize,
    /// Extents in one reply. Restrains the plugin; a client asks again for the rest.
    pub extents: usize,
    /// Connections at once. Restrains strangers from taking the process's descriptors; those who
    /// come later wait.
    pub connections: usize,
    /// Requests in flight on one connection. Restrains the client, whose further requests wait in
    /// its socket.
    pub requests: usize,
    /// Bytes of requests and replies in flight on one connection; one request may be larger.
    /// Restrains the client.
    pub inflight: u64,
    /// Bytes a second that a plugin may log. Restrains the plugin from filling the operator's disk.
    pub log: u64,
    /// Time without a request after which a connection is closed; `None` for never. Restrains clients
    /// that hold a place and don't use it.
    pub idle: Option<Duration>,
    /// Time that a client has for the handshake. Restrains idle and slow strangers.
    pub handshake: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 64 << 20,
            cpu: Duration::from_millis(100),
            open_cpu: Duration::from_secs(1),
            wall: Duration::from_secs(30),
            instances: 4,
            extents: 16_384,
            connections: 256,
            requests: 64,
            inflight: 64 << 20,
            log: 16 << 10,
            idle: None,
            handshake: Duration::from_secs(10),
        }
    }
}

/// Bytes of payload for which a call gets its CPU time once.
const CPU_SHARE: u64 = 4 << 20;

/// Bytes of one line of a plugin's log; the rest is cut. Restrains the plugin.
pub const LOG_LINE: usize = 4096;

/// Live handles in one instance. Restrains a plugin that leaks them.
pub const HANDLES: u32 = 256;

/// Pieces in one read reply or write plan. Restrains the plugin: each piece costs the host 32 bytes
/// and maybe a system call.
pub const PIECES: usize = 4096;

/// Bytes that a guest may hand over in one host call beyond what the request itself is worth, and
/// that one direct read of a blob may ask for. Restrains the plugin: lifting a list allocates.
pub const DIRECT: u32 = 1 << 20;

/// Bytes of a plugin's file. Restrains whoever supplies it: they are hashed and compiled.
pub const COMPONENT: u64 = 64 << 20;

/// Bytes of compiled code that the compiler may leave. Restrains the component's author.
pub const COMPILED: u64 = 1 << 30;

/// Address space of the compiler's process. Restrains the component's author.
pub const COMPILER_MEMORY: u64 = 4 << 30;

/// Time on the clock, and twice that of CPU time, for compiling a component.
pub const COMPILER_TIME: Duration = Duration::from_secs(120);

/// What is wrong with a `--limit`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LimitError {
    /// No such limit.
    #[error("`{0}` is no limit; there are {KEYS}")]
    Unknown(String),
    /// Not `NAME=VALUE`.
    #[error("`{0}` isn't NAME=VALUE, as in memory=64MiB")]
    Syntax(String),
    /// The value doesn't fit.
    #[error("limit {name}={value}: {expected}")]
    Value {
        /// The limit.
        name: &'static str,
        /// What was given.
        value: String,
        /// What would fit.
        expected: String,
    },
}

/// The names for `--limit`.
pub const KEYS: &str = "memory, cpu, open-cpu, wall, instances, extents, connections, requests, inflight, log, \
     idle, handshake";

impl Limits {
    /// The CPU time of a call that moves so many bytes. Making 32 MiB takes longer than making 4
    /// KiB, and the largest request that is advertised has to be possible.
    #[must_use]
    pub fn cpu_for(&self, length: u64) -> Duration {
        let shares = length.div_ceil(CPU_SHARE).max(1);
        self.cpu
            .saturating_mul(u32::try_from(shares).unwrap_or(u32::MAX))
    }

    /// Sets limits from a list such as `memory=64MiB,cpu=100ms`.
    ///
    /// # Errors
    /// Names the first one that is wrong and what was expected.
    pub fn set(&mut self, list: &str) -> Result<(), LimitError> {
        list.split(',')
            .filter(|word| !word.is_empty())
            .try_for_each(|word| self.set_one(word))
    }

    fn set_one(&mut self, word: &str) -> Result<(), LimitError> {
        let (name, value) = word
            .split_once('=')
            .ok_or_else(|| LimitError::Syntax(word.to_owned()))?;
        match name {
            "memory" => self.memory = bytes("memory", value, 64 << 10)?,
            "cpu" => self.cpu = time("cpu", value)?,
            "open-cpu" => self.open_cpu = time("open-cpu", value)?,
            "wall" => self.wall = time("wall", value)?,
            "instances" => self.instances = count("instances", value, 1, 1024)?,
            "extents" => self.extents = count("extents", value, 1, 1 << 20)?,
            "connections" => self.connections = count("connections", value, 1, 100_000)?,
            "requests" => self.requests = count("requests", value, 1, 4096)?,
            "inflight" => self.inflight = bytes("inflight", value, 1)?,
            "log" => self.log = bytes("log", value, 0)?,
            "idle" if value == "never" => self.idle = None,
            "idle" => self.idle = Some(time("idle", value)?),
            "handshake" => self.handshake = time("handshake", value)?,
            _ => return Err(LimitError::Unknown(name.to_owned())),
        }
        Ok(())
    }
}

fn bytes(name: &'static str, value: &str, least: u64) -> Result<u64, LimitError> {
    let wrong = |expected| LimitError::Value {
        name,
        value: value.to_owned(),
        expected,
    };
    let bytes = size::parse(value).map_err(|error| wrong(error.to_string()))?;
    if bytes < least {
        return Err(wrong(format!("at least {} is needed", size::Bytes(least))));
    }
    Ok(bytes)
}

fn time(name: &'static str, value: &str) -> Result<Duration, LimitError> {
    let unit_at = value
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(value.len());
    let (number, unit) = value.split_at(unit_at);
    let duration = number
        .parse::<u32>()
        .ok()
        .filter(|number| *number > 0)
        .and_then(|number| {
            Some(match unit {
                "ms" => Duration::from_millis(number.into()),
                "s" => Duration::from_secs(number.into()),
                "min" => Duration::from_secs(60 * u64::from(number)),
                _ => return None,
            })
        });
    duration.ok_or_else(|| LimitError::Value {
        name,
        value: value.to_owned(),
        expected: "write a whole number and ms, s or min, as in 100ms".to_owned(),
    })
}

fn count(name: &'static str, value: &str, least: usize, most: usize) -> Result<usize, LimitError> {
    let number = value
        .parse()
        .ok()
        .filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| LimitError::Value {
        name,
        value: value.to_owned(),
        expected: format!("a number from {least} to {most} is expected"),
    })
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
        for key in KEYS.split(", ") {
            let error = Limits::default()
                .set(&format!("{key}=nonsense"))
                .unwrap_err();
            assert!(
                matches!(error, LimitError::Value { name, .. } if name == key),
                "{key}"
            );
        }
        let error = Limits::default().set("speed=1").unwrap_err();
        assert_eq!(error, LimitError::Unknown("speed".into()));
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
