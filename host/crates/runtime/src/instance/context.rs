//! What all instances of a layer share: names, log, counters, grants and limits.

use std::sync::Arc;

use blob::Blob;
use device::ExportQuota;
use device::metrics::Metrics;
use device::peaks::Peaks;
use nbdbox_config::limits::Limits;
use nbdbox_config::settings::Settings;

use crate::abi::names::Names;
use crate::instance::log::GuestLog;
use crate::next::Next;

/// What surrounds the instances of one layer of an export.
#[derive(Debug)]
pub(crate) struct ExportContext {
    /// The names in the operator's log.
    pub(crate) names: Names,
    /// The log of the plugin's own lines.
    pub(crate) log: Arc<GuestLog>,
    /// The counters of the layer.
    pub(crate) metrics: Arc<Metrics>,
    /// The quota of the export and its tenant, for all layers together.
    pub(crate) quota: Arc<ExportQuota>,
    /// The most that a call of this layer has used so far.
    pub(crate) peaks: Peaks,
    /// What the plugin may reach.
    pub(crate) grants: Grants,
    /// The limits of one call and of one instance.
    pub(crate) limits: Limits,
}

/// What a plugin may reach. The default is nothing.
#[derive(Debug, Default)]
pub(crate) struct Grants {
    /// The operator's settings.
    pub(crate) settings: Settings,
    /// The granted blobs. A handle's number is an index into them.
    pub(crate) blobs: Vec<Blob>,
    /// The layer below a filter; `None` for a plugin.
    pub(crate) next: Option<Arc<Next>>,
    /// Whether the filter declares that it changes bytes. Then the host passes on no bytes of the layer below by
    /// reference.
    pub(crate) changes_bytes: bool,
}

impl ExportContext {
    /// Makes a context with a log of its own, whose rate `limits` sets, and without peaks.
    pub(crate) fn new(
        names: Names,
        metrics: Arc<Metrics>,
        quota: Arc<ExportQuota>,
        grants: Grants,
        limits: Limits,
    ) -> Self {
        let log = GuestLog::new(names.clone(), limits.log, Arc::clone(&metrics));
        Self {
            names,
            log: Arc::new(log),
            metrics,
            quota,
            peaks: Peaks::default(),
            grants,
            limits,
        }
    }
}
