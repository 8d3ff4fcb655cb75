//! What happened between two reports. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::{By, Sort};
use crate::admin::{ExportReport, LayerReport, ProcessReport, Report, StorageReport};

/// What an export, one of its layers, or a tenant does.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Row {
    pub(super) tenant: String,
    /// Empty in the sum of a tenant.
    pub(super) export: String,
    /// `None` in the sum of all layers.
    pub(super) layer: Option<String>,
    pub(super) connections: u64,
    pub(super) ops_per_second: f64,
    pub(super) bytes_per_second: f64,
    /// The upper bound of the bucket with the 99th of 100 requests, in microseconds. `None` if there were no requests,
    /// and for a layer, for which the server doesn't count it.
    pub(super) p99_us: Option<u64>,
    /// CPU time of guests, of the host for clients, and of lanes, in percent of a core. A layer's is without the
    /// host's, which is counted for the whole export.
    pub(super) cpu_percent: f64,
    /// CPU time of guests alone, in percent of a core.
    pub(super) guest_percent: f64,
    pub(super) memory: u64,
    /// The storage operation that has taken longest so far, if one takes long.
    pub(super) storage: Option<StorageReport>,
    /// Faults since the server started.
    pub(super) faults: u64,
    /// The number of requests in each bucket of times.
    #[serde(skip)]
    pub(super) latency: Vec<u64>,
}

/// The rows of all exports and of their layers, from two reports that are `elapsed` apart.
pub(super) fn rows(before: &Report, after: &Report, elapsed: Duration) -> Vec<Row> {
    let nothing = ExportReport::default();
    let old: BTreeMap<_, _> = before
        .exports
        .iter()
        .map(|export| (key(export), export))
        .collect();
    let seconds = elapsed.as_secs_f64().max(1e-3);
    let both = |export| {
        let old = old.get(&key(export)).copied().unwrap_or(&nothing);
        let whole = row(old, export, seconds);
        let layers = layers(old, export, &whole, seconds);
        std::iter::once(whole).chain(layers)
    };
    after.exports.iter().flat_map(both).collect()
}

/// What makes an export the same in two reports. With another plugin its counters start from zero.
fn key(export: &ExportReport) -> (&str, &str, &str) {
    (&export.tenant, &export.export, &export.digest)
}

/// The row of a whole export.
fn row(before: &ExportReport, after: &ExportReport, seconds: f64) -> Row {
    // An export that was reconfigured in between counts from zero.
    let latency: Vec<u64> = (0..after.latency.len())
        .map(|index| {
            let old = before.latency.get(index).copied().unwrap_or(0);
            after.latency[index].saturating_sub(old)
        })
        .collect();
    let bytes = |export: &ExportReport| export.read_bytes.saturating_add(export.written_bytes);
    Row {
        tenant: after.tenant.clone(),
        export: after.export.clone(),
        layer: None,
        connections: after.connections,
        ops_per_second: float(latency.iter().sum()) / seconds,
        bytes_per_second: rate(bytes(before), bytes(after), seconds),
        p99_us: p99(&latency),
        cpu_percent: rate(all_ns(before), all_ns(after), seconds) / 1e7,
        guest_percent: rate(guest_ns(before), guest_ns(after), seconds) / 1e7,
        memory: after.layers.iter().map(|layer| layer.memory).sum(),
        storage: longest(after.layers.iter().flat_map(|layer| &layer.storage)),
        faults: faults(after),
        latency,
    }
}

fn longest<'a>(waits: impl IntoIterator<Item = &'a StorageReport>) -> Option<StorageReport> {
    waits.into_iter().max_by_key(|wait| wait.ms).cloned()
}

fn guest_ns(export: &ExportReport) -> u64 {
    let layers = export.layers.iter();
    layers.map(|layer| layer.guest_ns).sum()
}

fn lane_ns(export: &ExportReport) -> u64 {
    let layers = export.layers.iter();
    layers.map(|layer| layer.lane_ns).sum()
}

/// All CPU time of an export. Guests run in the time of connections, except while a lane makes instances.
fn all_ns(export: &ExportReport) -> u64 {
    let on_workers = export.served_ns.max(guest_ns(export));
    on_workers.saturating_add(lane_ns(export))
}

/// The rows of an export's layers. What isn't counted for layers is as in `whole`.
fn layers(before: &ExportReport, after: &ExportReport, whole: &Row, seconds: f64) -> Vec<Row> {
    let nothing = LayerReport::default();
    let bytes = |layer: &LayerReport| layer.read_bytes.saturating_add(layer.written_bytes);
    let own_ns = |layer: &LayerReport| layer.guest_ns.saturating_add(layer.lane_ns);
    let row = |after: &LayerReport| {
        let before = before.layers.iter().find(|old| old.layer == after.layer);
        let before = before.unwrap_or(&nothing);
        Row {
            tenant: whole.tenant.clone(),
            export: whole.export.clone(),
            layer: Some(after.layer.clone()),
            connections: whole.connections,
            ops_per_second: rate(before.requests, after.requests, seconds),
            bytes_per_second: rate(bytes(before), bytes(after), seconds),
            p99_us: None,
            cpu_percent: rate(own_ns(before), own_ns(after), seconds) / 1e7,
            guest_percent: rate(before.guest_ns, after.guest_ns, seconds) / 1e7,
            memory: after.memory,
            storage: longest(&after.storage),
            faults: after.faults.values().sum(),
            latency: Vec::new(),
        }
    };
    after.layers.iter().map(row).collect()
}

/// The increase of a counter per second. A counter that was reset in between counts from zero.
fn rate(before: u64, after: u64, seconds: f64) -> f64 {
    float(after.saturating_sub(before)) / seconds
}

/// Faults: those of the plugin, whatever their causes, and those of the host.
fn faults(export: &ExportReport) -> u64 {
    let layers = export.layers.iter().flat_map(|layer| layer.faults.values());
    let host = export.operations.values().filter_map(|by| by.get("host"));
    layers.chain(host).sum()
}

/// The 99th percentile in microseconds; past the last bucket's bound, twice that bound.
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

/// The rows to show, sorted.
pub(super) fn arranged(rows: &[Row], by: By, sort: Sort) -> Vec<Row> {
    let (layers, wholes): (Vec<Row>, Vec<Row>) =
        rows.iter().cloned().partition(|row| row.layer.is_some());
    let mut rows = match by {
        By::Layer => layers,
        By::Export => wholes,
        By::Tenant => by_tenant(&wholes),
    };
    let name = |row: &Row| (row.tenant.clone(), row.export.clone(), row.layer.clone());
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
    // The sort is stable: equal rows stay in the order of their names.
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
        sum.guest_percent += row.guest_percent;
        sum.memory += row.memory;
        sum.storage = longest(sum.storage.iter().chain(&row.storage));
        sum.faults += row.faults;
        sum.latency
            .resize(sum.latency.len().max(row.latency.len()), 0);
        let pairs = sum.latency.iter_mut().zip(&row.latency);
        pairs.for_each(|(sum, count)| *sum += count);
        sum.p99_us = p99(&sum.latency);
    }
    tenants.into_values().collect()
}

/// What the process uses of the machine.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Process {
    /// In percent of a core.
    pub(super) cpu_percent: f64,
    pub(super) now: ProcessReport,
}

/// What the process did between two reports that are `elapsed` apart.
pub(super) fn process(before: &Report, after: &Report, elapsed: Duration) -> Process {
    let seconds = elapsed.as_secs_f64().max(1e-3);
    Process {
        cpu_percent: rate(before.process.cpu_ns, after.process.cpu_ns, seconds) / 1e7,
        now: after.process.clone(),
    }
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
            layers: vec![layer("0:disk", 10, 7), layer("1:cow", 20, 5)],
            served_ns: 20_000_000,
            ..ExportReport::default()
        }
    }

    /// A layer with `memory` bytes, and `cpu` milliseconds of CPU time.
    fn layer(name: &str, memory: u64, cpu: u64) -> LayerReport {
        LayerReport {
            layer: name.to_owned(),
            requests: 2 * cpu,
            memory,
            guest_ns: cpu * 1_000_000,
            lane_ns: 1_000_000,
            faults: [("trap".to_owned(), 1)].into(),
            ..LayerReport::default()
        }
    }

    /// The exports' rows, in the order of their names.
    fn wholes(before: &Report, after: &Report, seconds: u64) -> Vec<Row> {
        let rows = rows(before, after, Duration::from_secs(seconds));
        arranged(&rows, By::Export, Sort::Name)
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
        let rows = wholes(&before, &after, 2);
        assert_eq!(rows[0].ops_per_second, 10.0);
        assert_eq!(rows[0].bytes_per_second, 1000.0);
        assert_eq!(rows[0].p99_us, Some(2));
        assert_eq!((rows[1].ops_per_second, rows[1].p99_us), (2.0, Some(4)));
    }

    #[test]
    fn counts_that_went_back_are_no_rate() {
        let before = report(&[export("a", "x", &[9])]);
        let after = report(&[export("a", "x", &[2])]);
        let rows = wholes(&before, &after, 1);
        assert_eq!((rows[0].ops_per_second, rows[0].p99_us), (0.0, None));
    }

    #[test]
    fn an_export_is_the_sum_of_its_layers_and_each_has_a_row() {
        let after = report(&[export("a", "x", &[4])]);
        let rows = rows(&Report::default(), &after, Duration::from_secs(1));
        let whole = &arranged(&rows, By::Export, Sort::Cpu)[0];
        assert_eq!((whole.memory, whole.faults), (30, 2));
        // 20 ms of connections, of which guests took 12 ms, and 2 ms of the lane.
        assert!((whole.cpu_percent - 2.2).abs() < 1e-9);
        assert!((whole.guest_percent - 1.2).abs() < 1e-9);
        let layers = arranged(&rows, By::Layer, Sort::Memory);
        let names: Vec<_> = layers.iter().map(|row| row.layer.as_deref()).collect();
        assert_eq!(names, [Some("1:cow"), Some("0:disk")]);
        assert_eq!((layers[1].memory, layers[1].faults), (10, 1));
        assert_eq!(layers[1].ops_per_second, 14.0);
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
        assert_eq!(arranged(&rows, By::Tenant, Sort::Name)[0].memory, 60);
    }
}
