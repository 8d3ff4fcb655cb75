//! Tenants, each possibly in more than one file.

use std::collections::BTreeMap;

use super::Checker;
use super::listener::{NAME, is_name};
use crate::config::at::At;
use crate::config::problem::Position;
use crate::config::raw;
use crate::config::{ClientRule, Export, Tenant};
use crate::limits::{LimitError, TenantLimits, key};

/// The tenants of the files that have been read.
#[derive(Default)]
pub(super) struct Tenants(BTreeMap<String, Gathered>);

/// The parts of one tenant from all files.
struct Gathered {
    place: Position,
    clients: Option<Vec<ClientRule>>,
    limits: Option<TenantLimits>,
    exports: Vec<Export>,
}

impl Tenants {
    /// Adds one file's part of a tenant. Exports add up; the other keys may be set once.
    pub(super) fn add(
        &mut self,
        checker: &mut Checker<'_, '_>,
        name: String,
        raw: At<raw::Tenant>,
    ) {
        let table = format!("tenant.{name}");
        if !is_name(&name) {
            checker.wrong(raw.span(), &table, NAME);
        }
        let gathered = self.0.entry(name).or_insert_with(|| Gathered {
            place: checker.place(&raw.span()),
            clients: None,
            limits: None,
            exports: Vec::new(),
        });
        let raw = raw.into_inner();
        if let Some(clients) = raw.clients {
            let key = format!("{table}.clients");
            if gathered.clients.is_some() {
                checker.wrong(clients.span(), &key, "another file sets it already");
            }
            if clients.get().is_empty() {
                checker.wrong(
                    clients.span(),
                    &key,
                    "it is empty: add a rule, so that clients can connect",
                );
            }
            let rules = clients.get().iter();
            gathered.clients = Some(
                rules
                    .filter_map(|rule| checker.client(rule, &key))
                    .collect(),
            );
        }
        if let Some(limits) = raw.limits {
            let key = format!("{table}.limits");
            if gathered.limits.is_some() {
                checker.wrong(limits.span(), &key, "another file sets it already");
            }
            gathered.limits = Some(checker.limits(limits.get(), &key));
        }
        for export in raw.export {
            let export = checker.export(export, &format!("{table}.export"));
            gathered.exports.extend(export);
        }
    }

    /// All tenants, sorted by name.
    pub(super) fn finish(self, checker: &mut Checker<'_, '_>) -> Vec<Tenant> {
        let tenants = self.0.into_iter().map(|(name, gathered)| {
            let Gathered {
                place,
                clients,
                limits,
                exports,
            } = gathered;
            let table = format!("tenant.{name}");
            if clients.is_none() {
                let text = "`clients` is missing: add rules that assign clients to this tenant";
                checker.problems.add(place, &table[..], text);
            }
            once(checker, &exports, &table);
            Tenant {
                name,
                clients: clients.unwrap_or_default(),
                limits: limits.unwrap_or_default(),
                exports,
            }
        });
        tenants.collect()
    }
}

/// Reports exports with the same name.
fn once(checker: &mut Checker<'_, '_>, exports: &[Export], table: &str) {
    let mut places: BTreeMap<&str, &Position> = BTreeMap::new();
    for Export { name, place, .. } in exports {
        if let Some(first) = places.get(&name[..]) {
            let text = format!("another export is called `{name}`: see {first}");
            let key = format!("{table}.export.name");
            checker.problems.add(place.clone(), key, text);
        } else {
            places.insert(name, place);
        }
    }
}

impl Checker<'_, '_> {
    /// A table of limits; the defaults apply to limits that it doesn't set.
    pub(super) fn limits<T: raw::Defined>(&mut self, raw: &raw::Limits<T>, table: &str) -> T {
        self.limits_over(T::default(), raw, table)
    }

    /// A table of limits over `limits`, which apply to limits that it doesn't set.
    pub(super) fn limits_over<T: raw::Defined>(
        &mut self,
        mut limits: T,
        raw: &raw::Limits<T>,
        table: &str,
    ) -> T {
        for (name, value) in &raw.0 {
            let set = key::set(T::KEYS, &mut limits, name, &value.get().0);
            if let Err(error) = set {
                let text = match error {
                    LimitError::Value {
                        value, expected, ..
                    } => format!("`{value}`: {expected}"),
                    error => error.to_string(),
                };
                self.wrong(value.span(), &format!("{table}.{name}"), text);
            }
        }
        limits
    }
}
