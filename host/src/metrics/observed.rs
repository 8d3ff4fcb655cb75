//! Where an operator can look at exports and tenants, without touching them.

use std::fmt;
use std::sync::Arc;

use super::{Budget, CompileMetrics, Metrics};

/// Something that has exports. Looking waits for nobody: not for an export that is being opened, not for
/// a plugin.
pub trait Observed: fmt::Debug + Send + Sync + 'static {
    /// Its exports, each tenant's name and export's name once.
    fn exports(&self) -> Vec<SeenExport>;

    /// Its tenants.
    fn tenants(&self) -> Vec<SeenTenant>;

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
    /// Its counters. Where there are filters, those of the outermost.
    pub metrics: Arc<Metrics>,
    /// The outermost filter and all below it down to the plugin, once it's open; nothing if there are no
    /// filters.
    pub layers: Vec<SeenLayer>,
}

/// A filter, or the plugin below them.
#[derive(Clone, Debug)]
pub struct SeenLayer {
    /// Its name.
    pub plugin: String,
    /// Its counters: requests that came to it, and what it got wrong.
    pub metrics: Arc<Metrics>,
}

impl SeenExport {
    /// Whether nobody has asked for it yet, nor been refused: there's nothing to say of it.
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        let refused = Budget::ALL.map(|budget| self.metrics.refusals(budget).get());
        let nothing = self.metrics.failed_opens.get() == 0 && self.metrics.connections.total() == 0;
        self.open.is_none() && nothing && refused == [0; Budget::ALL.len()]
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
    /// Bytes of guest memory.
    pub memory: u64,
    /// Instances.
    pub instances: u64,
    /// Connections.
    pub connections: u64,
    /// Requests under way.
    pub requests: u64,
    /// Their bytes.
    pub bytes: u64,
}
