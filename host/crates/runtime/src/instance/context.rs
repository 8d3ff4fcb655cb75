//! What all instances of an export share: its names, where its lines and counts go, what it was granted, and its
//! limits.

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
    /// What the operator's log calls it.
    pub(crate) names: Names,
    /// Where the plugin's own lines go.
    pub(crate) log: Arc<GuestLog>,
    /// Where the layer is counted.
    pub(crate) metrics: Arc<Metrics>,
    /// What the export and its tenant may use, all layers together.
    pub(crate) quota: Arc<ExportQuota>,
    /// The most that a call of this layer has taken.
    pub(crate) peaks: Peaks,
    /// What the plugin may reach.
    pub(crate) grants: Grants,
    /// What one call, and one instance, may use.
    pub(crate) limits: Limits,
}

/// What a plugin may reach. The default is nothing.
#[derive(Debug, Default)]
pub(crate) struct Grants {
    /// `KEY=VALUE` settings.
    pub(crate) settings: Settings,
    /// Files, in the order in which handles number them.
    pub(crate) blobs: Vec<Blob>,
    /// What a filter stands on.
    pub(crate) next: Option<Arc<Next>>,
    /// Nothing of the layer below is passed on as it is: a filter said that it changes bytes.
    pub(crate) changes_bytes: bool,
}

impl ExportContext {
    /// A context with a log of its own, rated as `limits` say, and no peaks so far.
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
