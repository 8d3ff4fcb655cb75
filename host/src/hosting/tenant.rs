//! A tenant: who is of it, what it may use, what it has.

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

/// Somebody who has exports and clients of their own.
#[derive(Debug)]
pub(crate) struct Tenant {
    name: String,
    clients: Vec<ClientRule>,
    quota: Arc<TenantQuota>,
    /// Its part in the connections of all tenants.
    connections: Arc<CountParty>,
    /// Its permit to load a plugin: one at a time.
    load_permit: Arc<Semaphore>,
    exports: BTreeMap<String, Arc<Slot>>,
    /// Exports that aren't configured any more, and may still have clients: one that comes back goes on.
    gone: BTreeMap<String, Weak<Slot>>,
}

impl Tenant {
    /// Makes a tenant; what is like it was in `old` is kept, and so is all that is in use of its quota.
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

    /// Its name.
    #[must_use]
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its exports that have clients and aren't among `next`, with those that were gone before.
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

    /// What it has in use.
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

    /// Its exports, by name.
    pub(crate) fn exports(&self) -> impl Iterator<Item = &Arc<Slot>> {
        self.exports.values()
    }

    pub(super) fn len(&self) -> usize {
        self.exports.len()
    }

    /// Whether a client is of this tenant.
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
