//! A tenant: its clients, its limits and its exports.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use device::Listed;
use device::TenantQuota;
use device::identity::Client;
use device::metrics::SeenTenant;
use nbdbox_config::config::{self, ClientRule};
use quota::CountParty;
use tokio::sync::Semaphore;

use super::blueprint::Planned;
use super::slot::Slot;
use super::{Changes, Hosting};

/// An owner of exports, with clients of its own.
#[derive(Debug)]
pub(crate) struct Tenant {
    name: String,
    clients: Vec<ClientRule>,
    quota: Arc<TenantQuota>,
    /// The tenant's part of the connections of all tenants.
    connections: Arc<CountParty>,
    /// The tenant's permit to load a plugin: one at a time.
    load_permit: Arc<Semaphore>,
    exports: BTreeMap<String, Arc<Slot>>,
    /// Exports that are no longer configured but may still have clients. One that comes back goes on.
    gone: BTreeMap<String, Weak<Slot>>,
}

impl Tenant {
    /// Makes a tenant. Keeps what is unchanged since `old`, and everything of its quota that is in use.
    pub(super) fn new(
        tenant: config::Tenant,
        exports: Vec<Planned>,
        old: Option<&Self>,
        hosting: &Hosting,
        changes: &mut Changes,
    ) -> Self {
        let quota = match old {
            Some(old) => {
                old.quota.set(&tenant.limits);
                Arc::clone(&old.quota)
            }
            None => TenantQuota::sharing(
                &tenant.name,
                &tenant.limits,
                &hosting.process,
                &hosting.cores,
            ),
        };
        let connections = match old {
            Some(old) => Arc::clone(&old.connections),
            None => hosting.connections.join(),
        };
        let load_permit = match old {
            Some(old) => Arc::clone(&old.load_permit),
            None => Arc::new(Semaphore::new(1)),
        };
        let slots = exports.into_iter().map(|planned| {
            let name = planned.export.name.clone();
            let slot = match old.and_then(|old| old.exports.get(&name)) {
                Some(slot) => {
                    match slot.replan(planned) {
                        true => changes.changed += 1,
                        false => changes.kept += 1,
                    }
                    Arc::clone(slot)
                }
                None => {
                    changes.added += 1;
                    match old.and_then(|old| old.gone.get(&name)?.upgrade()) {
                        Some(slot) => {
                            let _ = slot.replan(planned);
                            slot
                        }
                        None => Slot::new(
                            &tenant.name,
                            planned,
                            (&quota, &connections),
                            &hosting.library,
                            &load_permit,
                        ),
                    }
                }
            };
            (name, slot)
        });
        let exports: BTreeMap<_, _> = slots.collect();
        Self {
            gone: old.map_or_else(BTreeMap::new, |old| old.gone_without(&exports)),
            exports,
            clients: tenant.clients,
            quota,
            connections,
            load_permit,
            name: tenant.name,
        }
    }

    /// The tenant's name.
    #[must_use]
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The removed exports: those with clients that aren't among `next`, and those that were removed before.
    fn gone_without(&self, next: &BTreeMap<String, Arc<Slot>>) -> BTreeMap<String, Weak<Slot>> {
        let before = self
            .gone
            .iter()
            .filter_map(|(name, slot)| Some((name, slot.upgrade()?)));
        let now = self
            .exports
            .iter()
            .map(|(name, slot)| (name, Arc::clone(slot)));
        before
            .chain(now)
            .filter(|(name, slot)| slot.has_clients() && !next.contains_key(*name))
            .map(|(name, slot)| (name.clone(), Arc::downgrade(&slot)))
            .collect()
    }

    /// What the tenant has in use.
    #[must_use]
    pub(crate) fn seen(&self) -> SeenTenant {
        let (requests, bytes) = self.quota.flow.used();
        let lane = &self.quota.lane;
        SeenTenant {
            tenant: self.name.clone(),
            memory: self.quota.memory.used(),
            mappings: self.quota.mappings.used(),
            instances: self.quota.instances.used() as u64,
            connections: self.quota.connections.used() as u64,
            requests: requests as u64,
            bytes,
            lane_nanoseconds: lane.computed().nanoseconds(),
            lane_threads: lane.threads() as u64,
            lane_waiting: lane.waiting() as u64,
        }
    }

    /// The tenant's exports, by name.
    pub(crate) fn exports(&self) -> impl Iterator<Item = &Arc<Slot>> {
        self.exports.values()
    }

    pub(super) fn len(&self) -> usize {
        self.exports.len()
    }

    /// Whether a client belongs to this tenant.
    pub(super) fn is_of(&self, client: &Client) -> bool {
        self.clients.iter().any(|rule| client.fits(rule))
    }

    pub(super) fn slot(&self, name: &str) -> Option<Arc<Slot>> {
        self.exports.get(name).cloned()
    }

    pub(super) fn list(&self) -> Vec<Listed> {
        self.exports().map(|slot| slot.listed()).collect()
    }
}
