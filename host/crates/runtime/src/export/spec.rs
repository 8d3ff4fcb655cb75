//! What the operator decided about an export and the filters over its plugin.

use std::sync::Arc;

use blob::Blob;
use device::TenantQuota;
use device::metrics::Metrics;
use native_filters::Native;
use nbdbox_config::limits::Limits;
use nbdbox_config::policy::Policy;
use nbdbox_config::settings::Settings;

use crate::loaded::plugin::Plugin;

/// The operator's decisions about an export.
#[derive(Clone, Debug)]
pub struct ExportSpec {
    /// The tenant that owns the export; empty if the server has no tenants.
    pub tenant: String,
    /// The export's name. If the plugin lists its own exports, this is the one that a client with an empty name gets.
    pub name: String,
    /// The plugin's settings.
    pub settings: Settings,
    /// The blobs that the operator granted to the plugin.
    pub blobs: Vec<Blob>,
    /// The limits of the plugin, and of the export as a whole.
    pub limits: Limits,
    /// The quota of the tenant.
    pub quota: Arc<TenantQuota>,
    /// The counters of the outermost layer. If the plugin lists its own exports, they count all of them together,
    /// because a plugin's text mustn't become a label of a metric.
    pub metrics: Arc<Metrics>,
    /// What to do about failures, and whether clients may write.
    pub policy: Policy,
    /// The filters over the plugin, the outermost first.
    pub filters: Vec<FilterSpec>,
}

/// A filter over a plugin.
#[derive(Clone, Debug)]
pub struct FilterSpec {
    /// The filter, with the operator's settings and grants.
    pub kind: FilterKind,
    /// The counters of the layer below the filter.
    pub below: Arc<Metrics>,
}

/// How a filter works.
#[derive(Clone, Debug)]
pub enum FilterKind {
    /// A plugin, in a sandbox.
    Plugin(Box<PluginFilter>),
    /// A built-in filter, in the host.
    Native(Arc<Native>),
}

/// A filter that is a plugin, with the operator's settings and grants.
#[derive(Clone, Debug)]
pub struct PluginFilter {
    /// The filter's plugin, which exports the interface `filter`.
    pub plugin: Arc<Plugin>,
    /// The filter's settings.
    pub settings: Settings,
    /// The blobs that the operator granted to the filter.
    pub blobs: Vec<Blob>,
    /// The limits of the filter.
    pub limits: Limits,
}

impl FilterSpec {
    /// The filter, if it's a plugin; `None` for a built-in one.
    #[must_use]
    pub fn plugin(&self) -> Option<&PluginFilter> {
        match &self.kind {
            FilterKind::Plugin(filter) => Some(filter.as_ref()),
            FilterKind::Native(_) => None,
        }
    }
}
