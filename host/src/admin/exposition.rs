//! `/metrics`: all figures, in the text format of OpenMetrics 1.0.
//!
//! Labels have the operator's names (tenant, export, digest of the plugin's file) and constants of this program, but no
//! text from a client or a plugin. So the configuration alone decides the number of samples.
//! `host/METRICS.md` explains each name.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use device::metrics::{Compiling, Observed, SeenExport, SeenTenant};
use nbd_server::End;
use nbd_server::ServerMetrics;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::exports::Exports;
use super::family::Family;
use super::layers::Layers;
use super::resources::Resources;
use crate::log::{self, Dropped};

/// The text of the page; `None` if the library can't encode it.
pub(super) fn exposition(observed: &dyn Observed, server: &Arc<ServerMetrics>) -> Option<String> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Process(Arc::clone(server))));
    registry.register_collector(Box::new(Resources(observed.process())));
    registry.register_collector(Box::new(Compiled(observed.compiling().snapshot())));
    registry.register_collector(Box::new(Tenants(observed.tenants())));
    let exports: Arc<[SeenExport]> = observed.exports().into();
    registry.register_collector(Box::new(Exports(Arc::clone(&exports))));
    registry.register_collector(Box::new(Layers(exports)));
    let mut text = String::new();
    encode(&mut text, &registry).ok()?;
    Some(text)
}

/// The figures of the whole process.
#[derive(Debug)]
struct Process(Arc<ServerMetrics>);

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Self(server) = self;
        let mut one = |kind, name, help, write: &dyn Fn(&mut Family<'_>) -> fmt::Result| {
            write(&mut Family::new(&mut encoder, kind, name, help)?)
        };
        one(
            MetricType::Info,
            "nbdbox_build",
            "The version that runs",
            &|family| family.info(&[("version", env!("CARGO_PKG_VERSION"))]),
        )?;
        one(
            MetricType::Gauge,
            "nbdbox_sockets",
            "Open connections to all listeners, handshakes included",
            &|family| family.gauge(&[], server.connections.now()),
        )?;
        one(
            MetricType::Counter,
            "nbdbox_connection_ends",
            "Connections that have ended, by how they ended",
            &|family| {
                for end in End::ALL {
                    family.counter(&[("end", end.name())], server.ended(end).get())?;
                }
                family.counter(&[("end", "socket-failed")], server.socket_failures.get())
            },
        )?;
        one(
            MetricType::Counter,
            "nbdbox_accept_failures",
            "Failures of the kernel to accept a connection",
            &|family| family.counter(&[], server.accept_failures.get()),
        )?;
        let Dropped { rate, unread } = log::dropped();
        one(
            MetricType::Counter,
            "nbdbox_log_dropped",
            "Dropped lines of the log, by reason",
            &|family| {
                family.counter(&[("reason", "rate")], rate)?;
                family.counter(&[("reason", "unread")], unread)
            },
        )
    }
}

/// The figures of compiling, by the plugin's digest.
#[derive(Debug)]
struct Compiled(BTreeMap<String, Compiling>);

impl Collector for Compiled {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        let mut seconds = Family::new(
            encoder,
            MetricType::Counter,
            "nbdbox_compile_seconds",
            "Time spent on compiling a plugin",
        )?;
        for (digest, compiling) in &self.0 {
            let nanoseconds = u64::try_from(compiling.took.as_nanos()).unwrap_or(u64::MAX);
            seconds.seconds(&[("digest", digest)], nanoseconds)?;
        }
        for (name, help, value) in COMPILE_COUNTERS {
            let mut family = Family::new(encoder, MetricType::Counter, name, help)?;
            for (digest, compiling) in &self.0 {
                family.counter(&[("digest", digest)], value(compiling))?;
            }
        }
        Ok(())
    }
}

/// A counter of a plugin's compiling: name, help, value.
type CompileCounter = (&'static str, &'static str, fn(&Compiling) -> u64);

const COMPILE_COUNTERS: &[CompileCounter] = &[
    (
        "nbdbox_compilations",
        "Compilations of a plugin",
        |compiling| compiling.compiled,
    ),
    (
        "nbdbox_compile_cache_hits",
        "Loads for which the cache had a plugin's code",
        |compiling| compiling.hits,
    ),
    (
        "nbdbox_compile_failures",
        "Compilations of a plugin that failed",
        |compiling| compiling.failures,
    ),
];

/// A gauge of a tenant: name, help, value.
type TenantGauge = (&'static str, &'static str, fn(&SeenTenant) -> u64);

const TENANT_GAUGES: &[TenantGauge] = &[
    (
        "nbdbox_tenant_connections",
        "Open connections of a tenant",
        |tenant| tenant.connections,
    ),
    (
        "nbdbox_tenant_instances",
        "Instances of a tenant's plugins",
        |tenant| tenant.instances,
    ),
    (
        "nbdbox_tenant_memory_bytes",
        "Memory that is charged to a tenant",
        |tenant| tenant.memory,
    ),
    (
        "nbdbox_tenant_mappings",
        "Mappings of the address space that are charged to a tenant",
        |tenant| tenant.mappings,
    ),
    (
        "nbdbox_tenant_requests",
        "Requests of a tenant in flight",
        |tenant| tenant.requests,
    ),
    (
        "nbdbox_tenant_inflight_bytes",
        "Bytes of a tenant's requests in flight",
        |tenant| tenant.bytes,
    ),
    (
        "nbdbox_tenant_lane_threads",
        "Threads of a tenant's lane",
        |tenant| tenant.lane_threads,
    ),
    (
        "nbdbox_tenant_lane_waiting",
        "Tasks that wait for a thread of a tenant's lane",
        |tenant| tenant.lane_waiting,
    ),
];

/// The figures of tenants.
#[derive(Debug)]
struct Tenants(Vec<SeenTenant>);

impl Collector for Tenants {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for (name, help, value) in TENANT_GAUGES {
            let mut family = Family::new(&mut encoder, MetricType::Gauge, name, help)?;
            for tenant in &self.0 {
                family.gauge(&[("tenant", &tenant.tenant)], value(tenant))?;
            }
        }
        let mut lanes = Family::new(
            &mut encoder,
            MetricType::Counter,
            "nbdbox_tenant_lane_cpu_seconds",
            "CPU time of a tenant's lane",
        )?;
        self.0.iter().try_for_each(|tenant| {
            let labels = [("tenant", &tenant.tenant[..])];
            lanes.seconds(&labels, tenant.lane_nanoseconds)
        })
    }
}
