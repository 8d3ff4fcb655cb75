//! An export as clients have it: a plugin, and the filters over it, plugins and built-in ones.

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
    /// The layer that clients meet: the last one that was put on.
    top: Layer,
    /// The plugin, and the filters that are plugins, from the bottom up.
    plugins: Vec<Arc<PluginLayer>>,
    /// The built-in filters, from the bottom up.
    natives: Vec<Arc<NativeFilter>>,
}

/// A layer of either kind.
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
    /// An export of the plugin alone, without filters.
    pub(crate) fn of(bottom: PluginLayer) -> Self {
        let bottom = Arc::new(bottom);
        Self {
            top: Layer::Plugin(Arc::clone(&bottom)),
            plugins: vec![bottom],
            natives: Vec::new(),
        }
    }

    /// The layer below, for a filter that is about to be put on.
    pub(crate) fn next(&self) -> Arc<Next> {
        Arc::new(Next::new(self.for_filter(), self.bottom().is_immutable()))
    }

    fn for_filter(&self) -> Arc<dyn DynServed> {
        match &self.top {
            Layer::Plugin(layer) => Arc::new(layer.served().for_filter()),
            Layer::Native(filter) => Arc::new(filter.served().for_filter()),
        }
    }

    /// Puts a filter on top that is a plugin and was opened over [`next`](Self::next).
    pub(crate) fn put_on(&mut self, filter: PluginLayer) {
        let filter = Arc::new(filter);
        self.plugins.push(Arc::clone(&filter));
        self.top = Layer::Plugin(filter);
    }

    /// Puts a built-in filter on top. `metrics` are its counters.
    ///
    /// # Errors
    /// The layer below lacks what the filter's settings need.
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
        bottom.expect("the plugin at the bottom is always there")
    }

    /// The outermost layer that isn't a built-in filter.
    #[must_use]
    pub fn outermost(&self) -> &PluginLayer {
        let outermost = self.plugins.last();
        outermost.expect("the plugin at the bottom is always there")
    }

    /// The layers that aren't built-in filters, the outermost first.
    pub fn layers(&self) -> impl Iterator<Item = &PluginLayer> {
        self.plugins.iter().rev().map(|layer| &**layer)
    }

    /// The plugin at the bottom.
    #[must_use]
    pub fn plugin(&self) -> &Plugin {
        self.bottom().plugin()
    }

    /// Drops idle instances and what the host remembers, in all layers. To be called when no client is connected. Keeps
    /// each instance whose memory is the disk, or that has changes to flush. Doesn't block.
    pub fn release_idle(&self) {
        for layer in self.layers() {
            layer.release_idle();
        }
    }

    /// The export as the host serves it to clients.
    #[must_use]
    pub fn served(self: &Arc<Self>) -> Served<Self> {
        let (terms, metrics) = (Arc::clone(self.terms()), Arc::clone(self.metrics()));
        Served::new(Arc::clone(self), terms, metrics)
    }

    /// Makes durable what clients changed and didn't flush, as [`Device::leave`] does, without the end of a connection.
    /// Goes through the layers from the top, so that each layer also flushes what the ones above have just written to
    /// it.
    pub async fn settle(&self) {
        for layer in self.layers() {
            layer.leave().await;
        }
    }

    /// What the export advertises, and what its users may use.
    #[must_use]
    pub fn terms(&self) -> &Arc<Terms> {
        match &self.top {
            Layer::Plugin(layer) => layer.terms(),
            Layer::Native(filter) => filter.terms(),
        }
    }

    /// The counters of the outermost layer alone.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        match &self.top {
            Layer::Plugin(layer) => layer.metrics(),
            Layer::Native(filter) => filter.metrics(),
        }
    }

    /// The size of the export and whether it's read-only, for the operator's view.
    #[must_use]
    pub fn seen(&self) -> SeenOpen {
        let export = &self.terms().export;
        SeenOpen {
            size: export.size,
            read_only: export.flags.contains(ExportFlags::READ_ONLY),
        }
    }

    /// Whether the outermost plugin's mode is `parallel`, so that any call may run in a new instance.
    #[must_use]
    pub fn is_parallel(&self) -> bool {
        self.outermost().is_parallel()
    }

    /// Whether the contents never change, by the outermost plugin's word or the operator's.
    #[must_use]
    pub fn is_immutable(&self) -> bool {
        self.outermost().is_immutable()
    }

    /// Whether the outermost plugin reports where its bytes are, and that never changes.
    #[must_use]
    pub fn is_mapped(&self) -> bool {
        self.outermost().is_mapped()
    }

    /// The most that a call of the outermost plugin has used so far.
    #[must_use]
    pub fn peaks(&self) -> &Peaks {
        self.outermost().peaks()
    }

    /// Whether a layer is `single` and writable. The only instance of such a layer knows writes that no other instance
    /// knows, so two generations of the export that are open at once would contradict each other.
    #[must_use]
    pub fn is_sole_writer(&self) -> bool {
        self.layers().any(PluginLayer::holds_the_data)
    }

    /// The blobs that the operator granted to any layer.
    pub fn blobs(&self) -> impl Iterator<Item = &Blob> {
        self.layers().flat_map(PluginLayer::blobs)
    }

    /// Whether the export lost changes that it had answered, and no client has heard of that.
    #[must_use]
    pub fn has_untold_losses(&self) -> bool {
        self.losses().iter().any(|losses| losses.is_untold())
    }

    /// Takes over a loss of the export's previous generation that no client has heard of. The clients of this one hear
    /// of it.
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
        // A layer's losses include those of the layers below.
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
