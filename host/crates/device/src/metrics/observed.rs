//! How an operator sees exports and tenants, without disturbing them.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::{CompileMetrics, Metrics};
use crate::ProcessQuota;

/// A server's exports and tenants, as the admin listener reads them. No method waits for an export that is being
/// opened, or for a plugin.
pub trait Observed: fmt::Debug + Send + Sync + 'static {
    /// All exports; each pair of tenant and export name occurs once.
    fn exports(&self) -> Vec<SeenExport>;

    /// All tenants.
    fn tenants(&self) -> Vec<SeenTenant>;

    /// What all tenants may use together.
    fn process(&self) -> Arc<ProcessQuota>;

    /// The counters of the compiler.
    fn compiling(&self) -> Arc<CompileMetrics>;
}

/// An export at one moment.
#[derive(Clone, Debug)]
pub struct SeenExport {
    /// The tenant's name; empty if there are no tenants.
    pub tenant: String,
    /// The export's name.
    pub export: String,
    /// The plugin's name: from its manifest, or from its file while the export isn't open.
    pub plugin: String,
    /// SHA-256 of the plugin's file, in hexadecimal.
    pub digest: String,
    /// Its size and mode; `None` while it isn't open.
    pub open: Option<SeenOpen>,
    /// Whether a newer generation waits until the last client of the open one has left.
    pub pending: bool,
    /// The export's counters: those of the outermost layer.
    pub metrics: Arc<Metrics>,
    /// Its layers, the outermost filter first, the plugin last.
    pub layers: Vec<SeenLayer>,
}

/// A layer of an export: a filter, or the plugin at the bottom.
#[derive(Clone, Debug)]
pub struct SeenLayer {
    /// A label that is unique in its export: the layer's position, counted from the plugin, and the name of its file,
    /// as in `0:qcow2` and `1:cow`.
    pub layer: String,
    /// SHA-256 of its file, in hexadecimal.
    pub digest: String,
    /// The layer's counters: requests that reached it, and its faults.
    pub metrics: Arc<Metrics>,
}

impl SeenLayer {
    /// The layers of an export, from the file, digest and counters of each. The outermost is first.
    pub fn stack<'a>(
        layers: impl Iterator<Item = (&'a Path, String, &'a Arc<Metrics>)>,
    ) -> Vec<Self> {
        let mut seen: Vec<Self> = layers
            .map(|(file, digest, metrics)| Self {
                layer: stem(file),
                digest,
                metrics: Arc::clone(metrics),
            })
            .collect();
        for (place, layer) in seen.iter_mut().rev().enumerate() {
            layer.layer.insert_str(0, &format!("{place}:"));
        }
        seen
    }
}

/// The name of a plugin's file without its extension.
#[must_use]
pub fn stem(file: &Path) -> String {
    let stem = file.file_stem();
    stem.map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

impl SeenExport {
    /// Whether no client has requested the export yet, so that there is nothing to report of it.
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        let Metrics {
            failed_opens,
            refused_connections,
            connections,
            ..
        } = &*self.metrics;
        let nobody = connections.total() == 0 && refused_connections.get() == 0;
        self.open.is_none() && nobody && failed_opens.get() == 0
    }
}

/// An open export's size and mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenOpen {
    /// The size in bytes.
    pub size: u64,
    /// Whether the export denies writes.
    pub read_only: bool,
}

/// What a tenant uses at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenTenant {
    /// The tenant's name.
    pub tenant: String,
    /// Bytes that the host holds for it.
    pub memory: u64,
    /// Mappings of its plugins' instances.
    pub mappings: u64,
    /// Instances of its plugins.
    pub instances: u64,
    /// Open connections of its clients.
    pub connections: u64,
    /// Requests in flight.
    pub requests: u64,
    /// Bytes of the requests in flight.
    pub bytes: u64,
    /// Nanoseconds that its lane has computed.
    pub lane_nanoseconds: u64,
    /// Threads of its lane.
    pub lane_threads: u64,
    /// Tasks that wait for one of these threads.
    pub lane_waiting: u64,
}
