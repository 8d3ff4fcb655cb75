//! An export as clients have it: a plugin, and the filters that stand on it, those of the host's own among them.

use std::sync::Arc;

use blob::Blob;
use bytes::Bytes;
use device::fault::Failure;
use device::metrics::{Metrics, SeenOpen};
use device::peaks::Peaks;
use device::reply::ReadReply;
use device::{Deadline, Device, DynServed, Guest, Losses, Served, Terms, WriteFlags};
use extent_map::ExtentMap;
use native_filters::{Native, NativeFilter};
use nbd_proto::ExportFlags;

use crate::export::PluginLayer;
use crate::loaded::plugin::Plugin;
use crate::next::Next;

/// An export that a plugin serves, with the filters over it.
pub struct PluginExport {
    /// What clients meet: the last one that was put on.
    top: Layer,
    /// The plugin, and the filters that are plugins, in the order in which they were put on.
    plugins: Vec<Arc<PluginLayer>>,
    /// The host's own filters, in that order.
    natives: Vec<Arc<NativeFilter>>,
}

/// A layer.
enum Layer {
    Plugin(Arc<PluginLayer>),
    Native(Arc<NativeFilter>),
}

impl std::fmt::Debug for PluginExport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PluginExport")
            .field("export", &self.terms().export)
            .finish_non_exhaustive()
    }
}

impl PluginExport {
    /// The plugin at the bottom.
    pub(crate) fn of(bottom: PluginLayer) -> Self {
        let bottom = Arc::new(bottom);
        Self {
            top: Layer::Plugin(Arc::clone(&bottom)),
            plugins: vec![bottom],
            natives: Vec::new(),
        }
    }

    /// What a filter over it stands on.
    pub(crate) fn next(&self) -> Arc<Next> {
        Arc::new(Next::new(self.for_filter(), self.bottom().is_immutable()))
    }

    fn for_filter(&self) -> Arc<dyn DynServed> {
        match &self.top {
            Layer::Plugin(layer) => Arc::new(layer.served().for_filter()),
            Layer::Native(filter) => Arc::new(filter.served().for_filter()),
        }
    }

    /// Puts on a filter that is a plugin, which was opened over [`next`](Self::next).
    pub(crate) fn put_on(&mut self, filter: PluginLayer) {
        let filter = Arc::new(filter);
        self.plugins.push(Arc::clone(&filter));
        self.top = Layer::Plugin(filter);
    }

    /// Puts on a filter of the host's own.
    ///
    /// # Errors
    /// The layer below can't do what its settings ask for.
    pub(crate) fn put_on_native(
        &mut self,
        native: &Arc<Native>,
        metrics: &Arc<Metrics>,
    ) -> Result<(), String> {
        let (native, metrics) = (Arc::clone(native), Arc::clone(metrics));
        let filter = NativeFilter::new(native, self.for_filter(), metrics, self.losses())?;
        let filter = Arc::new(filter);
        self.natives.push(Arc::clone(&filter));
        self.top = Layer::Native(filter);
        Ok(())
    }

    /// The plugin at the bottom, as a layer.
    #[must_use]
    pub fn bottom(&self) -> &PluginLayer {
        let bottom = self.plugins.first();
        bottom.expect("it was made of the plugin at the bottom")
    }

    /// The outermost layer that is a plugin or a filter of that kind.
    #[must_use]
    pub fn outermost(&self) -> &PluginLayer {
        let outermost = self.plugins.last();
        outermost.expect("it was made of the plugin at the bottom")
    }

    /// The layers that are plugins or filters of that kind, the outermost first.
    pub fn layers(&self) -> impl Iterator<Item = &PluginLayer> {
        self.plugins.iter().rev().map(|layer| &**layer)
    }

    /// The plugin at the bottom.
    #[must_use]
    pub fn plugin(&self) -> &Plugin {
        self.bottom().plugin()
    }

    /// Drops idle instances and what is remembered, in all layers. To be called when no client is
    /// connected. Never drops an instance whose memory is the disk, or that has changes to flush. Doesn't block.
    pub fn release_idle(&self) {
        for layer in self.layers() {
            layer.release_idle();
        }
    }

    /// It as it's served to clients.
    #[must_use]
    pub fn served(self: &Arc<Self>) -> Served<Self> {
        let (terms, metrics) = (Arc::clone(self.terms()), Arc::clone(self.metrics()));
        Served::new(Arc::clone(self), terms, metrics)
    }

    /// Makes durable what was changed and not flushed, as [`Device::leave`] does, though nobody leaves. Each layer, from
    /// above: what one writes below is there when it's that one's turn.
    pub async fn settle(&self) {
        for layer in self.layers() {
            layer.leave().await;
        }
    }

    /// What it promises, and what may be used of it.
    #[must_use]
    pub fn terms(&self) -> &Arc<Terms> {
        match &self.top {
            Layer::Plugin(layer) => layer.terms(),
            Layer::Native(filter) => filter.terms(),
        }
    }

    /// Counts what the outermost layer alone does; each layer has counters of its own.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        match &self.top {
            Layer::Plugin(layer) => layer.metrics(),
            Layer::Native(filter) => filter.metrics(),
        }
    }

    /// What is known of it.
    #[must_use]
    pub fn seen(&self) -> SeenOpen {
        let export = &self.terms().export;
        SeenOpen {
            size: export.size,
            read_only: export.flags.contains(ExportFlags::READ_ONLY),
        }
    }

    /// Whether any call may meet a fresh instance: mode `parallel`, of the outermost plugin.
    #[must_use]
    pub fn is_parallel(&self) -> bool {
        self.outermost().is_parallel()
    }

    /// Whether the outermost plugin says that its contents never change.
    #[must_use]
    pub fn is_immutable(&self) -> bool {
        self.outermost().is_immutable()
    }

    /// Whether the outermost plugin tells where its bytes are, and that never changes.
    #[must_use]
    pub fn is_mapped(&self) -> bool {
        self.outermost().is_mapped()
    }

    /// The most that calls of the outermost plugin have taken.
    #[must_use]
    pub fn peaks(&self) -> &Peaks {
        self.outermost().peaks()
    }

    /// Whether a layer is `single` and may be written. Its one instance knows what no other does, so that two
    /// generations of the export that are open at once would each go by what only it has written.
    #[must_use]
    pub fn is_sole_writer(&self) -> bool {
        self.layers().any(PluginLayer::holds_the_data)
    }

    /// What all of its layers were granted.
    pub fn blobs(&self) -> impl Iterator<Item = &Blob> {
        self.layers().flat_map(PluginLayer::blobs)
    }

    /// Whether something was lost that was answered, and no client has heard of it.
    #[must_use]
    pub fn has_untold_losses(&self) -> bool {
        self.losses().iter().any(|losses| losses.is_untold())
    }

    /// Its generation before this one has untold losses: clients of this one hear of them.
    pub fn inherit_losses(&self) {
        self.outermost().inherit_losses();
    }
}

impl Device for PluginExport {
    async fn read(
        &self,
        deadline: &Deadline,
        offset: u64,
        length: u32,
        reply: Box<ReadReply>,
    ) -> Result<Box<ReadReply>, Failure> {
        match &self.top {
            Layer::Plugin(layer) => layer.read(deadline, offset, length, reply).await,
            Layer::Native(filter) => Box::pin(filter.read(deadline, offset, length, reply)).await,
        }
    }

    async fn write(
        &self,
        deadline: &Deadline,
        offset: u64,
        payload: Bytes,
        flags: WriteFlags,
    ) -> Result<(), Failure> {
        match &self.top {
            Layer::Plugin(layer) => layer.write(deadline, offset, payload, flags).await,
            Layer::Native(filter) => Box::pin(filter.write(deadline, offset, payload, flags)).await,
        }
    }

    async fn flush(&self, deadline: &Deadline) -> Result<(), Failure> {
        match &self.top {
            Layer::Plugin(layer) => layer.flush(deadline).await,
            Layer::Native(filter) => Box::pin(filter.flush(deadline)).await,
        }
    }

    async fn trim(
        &self,
        deadline: &Deadline,
        offset: u64,
        length: u64,
        flags: WriteFlags,
    ) -> Result<(), Failure> {
        match &self.top {
            Layer::Plugin(layer) => layer.trim(deadline, offset, length, flags).await,
            Layer::Native(filter) => Box::pin(filter.trim(deadline, offset, length, flags)).await,
        }
    }

    async fn zero(
        &self,
        deadline: &Deadline,
        offset: u64,
        length: u64,
        flags: WriteFlags,
    ) -> Result<(), Failure> {
        match &self.top {
            Layer::Plugin(layer) => layer.zero(deadline, offset, length, flags).await,
            Layer::Native(filter) => Box::pin(filter.zero(deadline, offset, length, flags)).await,
        }
    }

    async fn cache(&self, deadline: &Deadline, offset: u64, length: u64) -> Result<(), Failure> {
        match &self.top {
            Layer::Plugin(layer) => layer.cache(deadline, offset, length).await,
            Layer::Native(filter) => Box::pin(filter.cache(deadline, offset, length)).await,
        }
    }

    async fn extents(
        &self,
        deadline: &Deadline,
        map: Box<ExtentMap>,
    ) -> Result<Box<ExtentMap>, Failure> {
        match &self.top {
            Layer::Plugin(layer) => layer.extents(deadline, map).await,
            Layer::Native(filter) => Box::pin(filter.extents(deadline, map)).await,
        }
    }

    fn losses(&self) -> Vec<Arc<Losses>> {
        // Those of a layer are also those of what it stands on.
        self.outermost().losses()
    }

    async fn enter(&self) -> Result<Guest, Failure> {
        let mut guest = Guest::default();
        for filter in &self.natives {
            guest.join(filter.enter().await?);
        }
        Ok(guest)
    }

    async fn leave(&self) {
        self.settle().await;
        for filter in self.natives.iter().rev() {
            filter.leave().await;
        }
    }
}
