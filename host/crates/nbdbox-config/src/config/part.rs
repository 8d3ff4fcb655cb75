//! The parts of a configuration that processes of their own serve.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Address, Config, Listener, Process, Tenant, Tls, Value};

/// What one process serves of a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Part {
    /// All of it.
    #[default]
    Whole,
    /// The listeners that share a process, with their tenants; the admin listener too if no other process is there.
    Shared,
    /// The listener with this name, whose process is its own, with its tenants.
    Listener(String),
    /// The admin listener, which then shows the figures of all processes.
    Admin,
}

impl Part {
    /// The part that [`Display`](fmt::Display) wrote; `None` for other words.
    #[must_use]
    pub fn parse(words: &str) -> Option<Self> {
        Some(match words {
            "whole" => Self::Whole,
            "shared" => Self::Shared,
            "admin" => Self::Admin,
            other => Self::Listener(other.strip_prefix("listener:")?.to_owned()),
        })
    }

    /// The process's name in figures: `shared`, `admin`, or the listener's own name.
    #[must_use]
    pub fn label(&self) -> &str {
        match self {
            Self::Whole => "whole",
            Self::Shared => "shared",
            Self::Admin => "admin",
            Self::Listener(name) => name,
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Listener(_) = self {
            f.write_str("listener:")?;
        }
        f.write_str(self.label())
    }
}

/// A process's portion of the limits that hold for all tenants together: its tenants among all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Portion {
    tenants: usize,
    of: usize,
}

impl Portion {
    /// All of each limit.
    pub const WHOLE: Self = Self { tenants: 1, of: 1 };

    /// This portion of a limit, rounded down; 1 at least, so that the process can work.
    #[must_use]
    pub fn of(self, limit: u64) -> u64 {
        let (tenants, of) = (self.tenants as u128, self.of as u128);
        let portion = u128::from(limit) * tenants / of.max(1);
        u64::try_from(portion).map_or(limit, |portion| portion.clamp(1, limit.max(1)))
    }
}

impl Config {
    /// The parts that processes serve, in a fixed order. There's one if no listener has a process of its own.
    #[must_use]
    pub fn parts(&self) -> Vec<Part> {
        let mut parts = Vec::new();
        if self.listeners.iter().any(|listener| !listener.is_apart()) {
            parts.push(Part::Shared);
        }
        let apart = self.listeners.iter().filter(|listener| listener.is_apart());
        for listener in apart {
            let part = Part::Listener(listener.name.clone());
            // Listeners at any free port may have the same name: they are one to all rules.
            if !parts.contains(&part) {
                parts.push(part);
            }
        }
        if self.admin.is_some() && self.has_apart() {
            parts.push(Part::Admin);
        }
        parts
    }

    /// The connections that this process may have: its portion of all.
    #[must_use]
    pub fn own_connections(&self) -> usize {
        let own = self.portion.of(self.connections as u64);
        usize::try_from(own).unwrap_or(self.connections)
    }

    /// Whether a listener has a process of its own.
    #[must_use]
    pub fn has_apart(&self) -> bool {
        self.listeners.iter().any(Listener::is_apart)
    }

    /// Leaves what belongs to a part: its listeners, the tenants that clients reach by them, and its
    /// [`portion`](Self::portion). A tenant that no listener lets in is left to [`Part::Shared`].
    pub fn narrow_to(&mut self, part: &Part) {
        if matches!(part, Part::Whole) {
            return;
        }
        let apart: Vec<Listener> = self
            .listeners
            .iter()
            .filter(|listener| listener.is_apart())
            .cloned()
            .collect();
        let all = self.tenants.len();
        if !apart.is_empty() && !matches!(part, Part::Admin) {
            self.admin = None;
        }
        let is_reached = |tenant: &Tenant, listener: &Listener| tenant.may_come_by(listener);
        match part {
            Part::Whole => {}
            Part::Shared => {
                self.listeners.retain(|listener| !listener.is_apart());
                let elsewhere =
                    |tenant: &Tenant| apart.iter().any(|listener| is_reached(tenant, listener));
                self.tenants.retain(|tenant| !elsewhere(tenant));
            }
            Part::Listener(name) => {
                self.listeners
                    .retain(|listener| listener.is_apart() && listener.name == *name);
                let listeners = &self.listeners;
                let here = |tenant: &Tenant| {
                    listeners
                        .iter()
                        .any(|listener| is_reached(tenant, listener))
                };
                self.tenants.retain(here);
            }
            Part::Admin => {
                self.listeners.clear();
                self.tenants.clear();
            }
        }
        self.portion = Portion {
            tenants: self.tenants.len(),
            of: all,
        };
    }

    /// The environment variables that have secrets of its tenants.
    #[must_use]
    pub fn secret_variables(&self) -> BTreeSet<String> {
        let exports = self.tenants.iter().flat_map(|tenant| &tenant.exports);
        let settings = exports.flat_map(|export| {
            let filters = export.filters.iter().flat_map(|filter| &filter.settings);
            export.settings.iter().chain(filters)
        });
        settings
            .filter_map(|(_, value)| match value {
                Value::Env(name) => Some(name.clone()),
                Value::Plain(_) | Value::File(_) => None,
            })
            .collect()
    }

    /// Pairs of listeners, which different processes serve, that let clients of one tenant in: two processes can't share
    /// a tenant's limits, files and memory.
    pub(super) fn shared_tenants(&self) -> Vec<(&Tenant, &Listener, &Listener)> {
        let mut shared = Vec::new();
        for tenant in &self.tenants {
            let reached = || self.listeners.iter().filter(|one| tenant.may_come_by(one));
            let apart = reached().find(|listener| listener.is_apart());
            let served_elsewhere = |apart: &Listener, other: &Listener| {
                (&other.name, other.process) != (&apart.name, apart.process)
            };
            let other =
                apart.and_then(|apart| reached().find(|other| served_elsewhere(apart, other)));
            shared.extend(
                apart
                    .zip(other)
                    .map(|(apart, other)| (tenant, apart, other)),
            );
        }
        shared
    }
}

impl Listener {
    /// Whether it has a process of its own.
    pub(super) fn is_apart(&self) -> bool {
        self.process == Process::Own
    }
}

impl Tenant {
    /// Whether one of the rules can fit a client that comes by this listener.
    fn may_come_by(&self, listener: &Listener) -> bool {
        let address = &listener.address;
        let is_inherited = matches!(address, Address::Inherited(_));
        let has_certificates = match &listener.tls {
            Tls::Off => false,
            Tls::On(files) | Tls::Require(files) => files.client_ca.is_some(),
        };
        self.clients.iter().any(|rule| {
            let named = rule.listener.as_ref();
            named.is_none_or(|name| *name == listener.name)
                && (rule.uid.is_none() || is_inherited || matches!(address, Address::Unix { .. }))
                && (rule.source.is_none() || is_inherited || matches!(address, Address::Tcp(_)))
                && (rule.subject.is_none() && rule.san.is_none() || has_certificates)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Source, parse};

    const TEXT: &str = r#"
        [[listener]]
        name = "open"
        tcp = "127.0.0.1:10809"
        [[listener]]
        name = "gold"
        unix = "/run/gold.sock"
        process = "own"
        [admin]
        unix = "/run/admin.sock"
        [tenant.a]
        clients = [{ listener = "gold" }]
        [tenant.b]
        clients = [{ source = "0.0.0.0/0" }]
        [tenant.c]
        clients = [{ listener = "open" }]
    "#;

    fn read(text: &str) -> Result<Config, String> {
        let path = Path::new("/etc/nbdbox.toml");
        parse(&[Source { path, text }]).map_err(|problems| problems.to_string())
    }

    fn names(config: &Config, part: &Part) -> (Vec<String>, Vec<String>, bool, u64) {
        let mut config = config.clone();
        config.narrow_to(part);
        let listeners = config.listeners.into_iter().map(|listener| listener.name);
        let tenants = config.tenants.into_iter().map(|tenant| tenant.name);
        let portion = config.portion.of(300);
        (
            listeners.collect(),
            tenants.collect(),
            config.admin.is_some(),
            portion,
        )
    }

    #[test]
    fn each_part_has_its_listeners_and_their_tenants() {
        let config = read(TEXT).unwrap();
        let gold = Part::Listener("gold".to_owned());
        assert_eq!(config.parts(), [Part::Shared, gold.clone(), Part::Admin]);
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        for (part, listeners, tenants, admin, portion) in [
            (
                Part::Whole,
                words(&["open", "gold"]),
                words(&["a", "b", "c"]),
                true,
                300,
            ),
            (
                Part::Shared,
                words(&["open"]),
                words(&["b", "c"]),
                false,
                200,
            ),
            (gold, words(&["gold"]), words(&["a"]), false, 100),
            (Part::Admin, words(&[]), words(&[]), true, 1),
        ] {
            let expected = (listeners, tenants, admin, portion);
            assert_eq!(names(&config, &part), expected, "{part}");
            assert_eq!(Part::parse(&part.to_string()), Some(part));
        }
    }

    #[test]
    fn without_a_process_apart_there_is_one_part_that_has_everything() {
        let config = read(&TEXT.replace("process = \"own\"", "")).unwrap();
        assert_eq!(config.parts(), [Part::Shared]);
        let (listeners, tenants, admin, portion) = names(&config, &Part::Shared);
        assert_eq!(
            (listeners.len(), tenants.len(), admin, portion),
            (2, 3, true, 300)
        );
    }

    #[test]
    fn a_tenant_of_two_processes_is_refused() {
        let text = TEXT.replace(
            "{ listener = \"open\" }",
            "{ subject = \"CN=c\" }, { uid = 7 }",
        );
        let text = text.replace(
            "[tenant.a]",
            "[[listener]]\nname = \"third\"\nunix = \"/3\"\n[tenant.a]",
        );
        let error = read(&text).unwrap_err();
        assert!(error.contains("tenant `c`"), "{error}");
        assert!(
            error.contains("`gold`") && error.contains("`third`"),
            "{error}"
        );
    }
}
