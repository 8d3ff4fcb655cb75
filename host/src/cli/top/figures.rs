//! From two looks to what happened in between. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::{By, Sort};
use crate::admin::{ExportReport, Report};

/// What an export, or a tenant, does.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Row {
    pub(super) tenant: String,
    /// Empty where all of a tenant's are summed up.
    pub(super) export: String,
    pub(super) connections: u64,
    pub(super) ops_per_second: f64,
    pub(super) bytes_per_second: f64,
    /// The bound of the bucket in which the 99th of 100 requests was; none if there were none.
    pub(super) p99_us: Option<u64>,
    /// Guests' time on threads: 100 is a core.
    pub(super) cpu_percent: f64,
    pub(super) memory: u64,
    /// Since the server began.
    pub(super) faults: u64,
    /// Requests by how long they took.
    #[serde(skip)]
    pub(super) latency: Vec<u64>,
}

/// What each export did between two looks, which are `elapsed` apart.
pub(super) fn rows(before: &Report, after: &Report, elapsed: Duration) -> Vec<Row> {
    let nothing = ExportReport::default();
    let old: BTreeMap<_, _> = before
        .exports
        .iter()
        .map(|export| (key(export), export))
        .collect();
    let row = |export: &ExportReport| {
        let old = old.get(&key(export)).copied().unwrap_or(&nothing);
        row(old, export, elapsed.as_secs_f64().max(1e-3))
    };
    after.exports.iter().map(row).collect()
}

/// Another plugin begins anew.
fn key(export: &ExportReport) -> (&str, &str, &str) {
    (&export.tenant, &export.export, &export.digest)
}

fn row(before: &ExportReport, after: &ExportReport, seconds: f64) -> Row {
    // What was configured anew meanwhile counts from zero.
    let latency: Vec<u64> = (0..after.latency.len())
        .map(|index| {
            let old = before.latency.get(index).copied().unwrap_or(0);
            after.latency[index].saturating_sub(old)
        })
        .collect();
    let rate = |before: u64, after: u64| float(after.saturating_sub(before)) / seconds;
    let bytes = |export: &ExportReport| export.read_bytes.saturating_add(export.written_bytes);
    Row {
        tenant: after.tenant.clone(),
        export: after.export.clone(),
        connections: after.connections,
        ops_per_second: float(latency.iter().sum()) / seconds,
        bytes_per_second: rate(bytes(before), bytes(after)),
        p99_us: p99(&latency),
        cpu_percent: rate(before.guest_ns, after.guest_ns) / 1e7,
        memory: after.memory,
        faults: faults(after),
        latency,
    }
}

/// Whose fault it was: the plugin's, by its causes, or the host's.
fn faults(export: &ExportReport) -> u64 {
    let host = export.operations.values().filter_map(|by| by.get("host"));
    export.faults.values().chain(host).sum()
}

/// In microseconds. Beyond all bounds, twice the last one.
fn p99(latency: &[u64]) -> Option<u64> {
    let count: u64 = latency.iter().sum();
    let wanted = count - count / 100;
    let mut seen = 0;
    let bucket = latency.iter().position(|more| {
        seen += more;
        seen >= wanted
    });
    bucket.filter(|_| count > 0).map(|bucket| 1 << bucket)
}

/// The rows to show, in their order.
pub(super) fn arranged(rows: &[Row], by: By, sort: Sort) -> Vec<Row> {
    let mut rows = match by {
        By::Export => rows.to_vec(),
        By::Tenant => by_tenant(rows),
    };
    let name = |row: &Row| (row.tenant.clone(), row.export.clone());
    rows.sort_by_cached_key(name);
    let value = |row: &Row| match sort {
        Sort::Ops => row.ops_per_second,
        Sort::Bytes => row.bytes_per_second,
        Sort::P99 => float(row.p99_us.unwrap_or(0)),
        Sort::Cpu => row.cpu_percent,
        Sort::Memory => float(row.memory),
        Sort::Faults => float(row.faults),
        Sort::Name => 0.0,
    };
    // Stable: what is equal stays in the order of names.
    rows.sort_by(|one, other| value(other).total_cmp(&value(one)));
    rows
}

fn by_tenant(rows: &[Row]) -> Vec<Row> {
    let mut tenants: BTreeMap<&str, Row> = BTreeMap::new();
    for row in rows {
        let sum = tenants.entry(&row.tenant).or_default();
        sum.tenant.clone_from(&row.tenant);
        sum.connections += row.connections;
        sum.ops_per_second += row.ops_per_second;
        sum.bytes_per_second += row.bytes_per_second;
        sum.cpu_percent += row.cpu_percent;
        sum.memory += row.memory;
        sum.faults += row.faults;
        sum.latency
            .resize(sum.latency.len().max(row.latency.len()), 0);
        let pairs = sum.latency.iter_mut().zip(&row.latency);
        pairs.for_each(|(sum, count)| *sum += count);
        sum.p99_us = p99(&sum.latency);
    }
    tenants.into_values().collect()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "for people: 53 bits are more than they read"
)]
fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn export(tenant: &str, name: &str, counts: &[u64]) -> ExportReport {
        ExportReport {
            tenant: tenant.to_owned(),
            export: name.to_owned(),
            latency: counts.to_vec(),
            read_bytes: counts.iter().sum::<u64>() * 100,
            memory: 10,
            ..ExportReport::default()
        }
    }

    fn report(exports: &[ExportReport]) -> Report {
        Report {
            exports: exports.to_vec(),
            ..Report::default()
        }
    }

    #[test]
    fn rates_are_what_changed_and_a_new_export_counts_from_zero() {
        let before = report(&[export("a", "x", &[10, 0, 0])]);
        let after = report(&[export("a", "x", &[10, 20, 0]), export("b", "y", &[0, 0, 4])]);
        let rows = rows(&before, &after, Duration::from_secs(2));
        assert_eq!(rows[0].ops_per_second, 10.0);
        assert_eq!(rows[0].bytes_per_second, 1000.0);
        assert_eq!(rows[0].p99_us, Some(2));
        assert_eq!((rows[1].ops_per_second, rows[1].p99_us), (2.0, Some(4)));
    }

    #[test]
    fn counts_that_went_back_are_no_rate() {
        let before = report(&[export("a", "x", &[9])]);
        let after = report(&[export("a", "x", &[2])]);
        let rows = rows(&before, &after, Duration::from_secs(1));
        assert_eq!((rows[0].ops_per_second, rows[0].p99_us), (0.0, None));
    }

    #[test]
    fn one_slow_request_of_a_hundred_is_not_the_99th() {
        assert_eq!(p99(&[99, 0, 0, 1]), Some(1));
        assert_eq!(p99(&[98, 0, 0, 2]), Some(8));
        assert_eq!(p99(&[0, 1]), Some(2));
        assert_eq!(p99(&[0, 0]), None);
    }

    #[test]
    fn the_most_comes_first_and_equals_stay_in_the_order_of_names() {
        let exports = [
            export("b", "x", &[5]),
            export("a", "z", &[5]),
            export("a", "y", &[7]),
        ];
        let rows = rows(
            &Report::default(),
            &report(&exports),
            Duration::from_secs(1),
        );
        let names = |by, sort| {
            let arranged = arranged(&rows, by, sort);
            let names = arranged
                .iter()
                .map(|row| format!("{}/{}", row.tenant, row.export));
            names.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names(By::Export, Sort::Ops), "a/y a/z b/x");
        assert_eq!(names(By::Export, Sort::Name), "a/y a/z b/x");
        assert_eq!(names(By::Tenant, Sort::Ops), "a/ b/");
        assert_eq!(arranged(&rows, By::Tenant, Sort::Name)[0].memory, 20);
    }
}
