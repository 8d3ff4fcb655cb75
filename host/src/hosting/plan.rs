//! The plan of an export: what the host opens it with, and its counters.

use std::sync::Arc;

use device::metrics::{Metrics, SeenLayer};

use super::blueprint::Planned;

/// An export as the configuration has it. Its counters start at zero with it.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) planned: Planned,
    /// The counters of the outermost layer.
    pub(super) metrics: Arc<Metrics>,
    /// The counters of each layer below it.
    pub(super) below: Vec<Arc<Metrics>>,
}

impl Plan {
    pub(super) fn new(planned: Planned) -> Arc<Self> {
        Arc::new(Self {
            metrics: Arc::default(),
            below: planned.filters.iter().map(|_| Arc::default()).collect(),
            planned,
        })
    }

    /// The layers as an operator sees them.
    pub(super) fn seen_layers(&self) -> Vec<SeenLayer> {
        let Planned {
            file,
            digest,
            filters,
            ..
        } = &self.planned;
        let files = filters.iter().map(|filter| &filter.file);
        let files = files.chain([file]);
        let digests = filters.iter().map(|filter| filter.digest.as_ref());
        let digests = digests.chain([Some(digest)]);
        let digests = digests.map(|digest| digest.map_or_else(String::new, ToString::to_string));
        let metrics = std::iter::once(&self.metrics).chain(&self.below);
        let layers = files.zip(digests).zip(metrics);
        SeenLayer::stack(layers.map(|((file, digest), metrics)| (&**file, digest, metrics)))
    }
}
