//! What an operator decided about an export and the filters over its plugin.

use std::sync::Arc;

use blob::Blob;
use device::TenantQuota;
use device::metrics::Metrics;
use native_filters::Native;
use nbdbox_config::limits::Limits;
use nbdbox_config::policy::Policy;
use nbdbox_config::settings::Settings;

use crate::loaded::plugin::Plugin;

/// What the operator decided about an export.
#[derive(Clone, Debug)]
pub struct ExportSpec {
    /// The tenant that it belongs to; empty where there are no tenants.
    pub tenant: String,
    /// Its name; where the plugin lists exports of its own, the one that stands for the empty name.
    pub name: String,
    /// `KEY=VALUE` settings.
    pub settings: Settings,
    /// Files granted to the plugin.
    pub blobs: Vec<Blob>,
    /// Limits of the plugin, and of the export as a whole.
    pub limits: Limits,
    /// What its tenant may use.
    pub quota: Arc<TenantQuota>,
    /// The counters of the outermost layer. Where the plugin lists exports of its own they're counted
    /// together: what a plugin says becomes nobody's label.
    pub metrics: Arc<Metrics>,
    /// What to do when something goes wrong, and whether it may be written.
    pub policy: Policy,
    /// Filters over the plugin, the outermost first.
    pub filters: Vec<FilterSpec>,
}

/// A filter over a plugin.
#[derive(Clone, Debug)]
pub struct FilterSpec {
    /// The filter, and what the operator gave it.
    pub kind: FilterKind,
    /// The counters of the layer below it.
    pub below: Arc<Metrics>,
}

/// Where a filter works.
#[derive(Clone, Debug)]
pub enum FilterKind {
    /// In a sandbox.
    Plugin(Box<PluginFilter>),
    /// In the host: one of its own.
    Native(Arc<Native>),
}

/// A filter in a sandbox, and what the operator gave it.
#[derive(Clone, Debug)]
pub struct PluginFilter {
    /// The filter, which is a plugin that exports `filter`.
    pub plugin: Arc<Plugin>,
    /// `KEY=VALUE` settings.
    pub settings: Settings,
    /// Files granted to the filter.
    pub blobs: Vec<Blob>,
    /// Its own limits.
    pub limits: Limits,
}

impl FilterSpec {
    /// The filter, if it works in a sandbox.
    #[must_use]
    pub fn plugin(&self) -> Option<&PluginFilter> {
        match &self.kind {
            FilterKind::Plugin(filter) => Some(filter.as_ref()),
            FilterKind::Native(_) => None,
        }
    }
}
