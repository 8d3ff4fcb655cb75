//! Where an operator can look at exports and tenants, without touching them.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::{CompileMetrics, Metrics};
use crate::ProcessQuota;

/// Something that has exports. Looking waits for nobody: not for an export that is being opened, not for
/// a plugin.
pub trait Observed: fmt::Debug + Send + Sync + 'static {
    /// Its exports, each tenant's name and export's name once.
    fn exports(&self) -> Vec<SeenExport>;

    /// Its tenants.
    fn tenants(&self) -> Vec<SeenTenant>;

    /// What all its tenants may use together.
    fn process(&self) -> Arc<ProcessQuota>;

    /// The counters of its compiler.
    fn compiling(&self) -> Arc<CompileMetrics>;
}

/// An export as it is at some moment.
#[derive(Clone, Debug)]
pub struct SeenExport {
    /// Whose it is; empty where there are no tenants.
    pub tenant: String,
    /// Its name.
    pub export: String,
    /// The plugin: by its manifest, or by its file while nobody has asked for the export.
    pub plugin: String,
    /// SHA-256 of the plugin's file, in hexadecimal.
    pub digest: String,
    /// What it's like, once it's open.
    pub open: Option<SeenOpen>,
    /// Whether something newer waits until the last client of what is open has left.
    pub pending: bool,
    /// Its counters. Where there are filters, those of the outermost.
    pub metrics: Arc<Metrics>,
    /// The outermost filter and all below it, the plugin last.
    pub layers: Vec<SeenLayer>,
}

/// A filter, or the plugin below them.
#[derive(Clone, Debug)]
pub struct SeenLayer {
    /// What tells it from its export's others, in the operator's own words: its place, counted from the
    /// plugin, and its file's name, as in `0:qcow2` and `1:cow`.
    pub layer: String,
    /// SHA-256 of its file, in hexadecimal.
    pub digest: String,
    /// Its counters: requests that came to it, and what it got wrong.
    pub metrics: Arc<Metrics>,
}

impl SeenLayer {
    /// The layers of an export, from the file, digest and counters of each: the outermost first.
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

/// The name of a plugin's file, without its ending.
#[must_use]
pub fn stem(file: &Path) -> String {
    let stem = file.file_stem();
    stem.map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

impl SeenExport {
    /// Whether nobody has asked for it yet, nor been refused: there's nothing to say of it.
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

/// What is known of an export that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenOpen {
    /// Its size in bytes.
    pub size: u64,
    /// Whether clients may not write.
    pub read_only: bool,
}

/// What a tenant has in use at some moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenTenant {
    /// Its name.
    pub tenant: String,
    /// Bytes that the host holds for it.
    pub memory: u64,
    /// Mappings of its instances.
    pub mappings: u64,
    /// Instances.
    pub instances: u64,
    /// Connections.
    pub connections: u64,
    /// Requests under way.
    pub requests: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Nanoseconds that its lane has computed.
    pub lane_nanoseconds: u64,
    /// Threads of its lane.
    pub lane_threads: u64,
    /// Pieces of work that wait for one of these.
    pub lane_waiting: u64,
}
