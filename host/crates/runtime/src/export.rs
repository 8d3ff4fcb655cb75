//! One layer of an export: a plugin, or a filter that is a plugin, and the pool of its instances.

mod advertise;
pub(crate) mod carry_out;
pub(crate) mod catalog;
mod pool;
mod recall;
pub(crate) mod spec;
pub(crate) mod stack;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use blob::Blob;
use bytes::Bytes;
use device::fault::{Cause, Failure, Fault};
use device::metrics::{Budget, Metrics};
use device::peaks::Peaks;
use device::reply::ReadReply;
use device::{Deadline, Device, Losses, Served, Terms, WriteFlags};
use extent_map::ExtentMap;
use nbd_proto::ExportFlags;
use nbdbox_config::policy::{OnFailure, Policy};
use tokio::time::sleep;

use self::recall::{Recall, copy};
use crate::abi::interfaces::Interfaces;
use crate::abi::names::log_export;
use crate::abi::wit::{DeviceInfo, InstanceMode};
use crate::export::advertise::advertise;
use crate::export::pool::{Acquired, Lease, Pool, Pooled, Vacancy};
use crate::instance::context::ExportContext;
use crate::instance::{CallError, Instance};
use crate::loaded::plugin::Plugin;

/// A layer of an export: a plugin, or a filter that is a plugin.
pub struct PluginLayer {
    plugin: Arc<Plugin>,
    ctx: Arc<ExportContext>,
    /// What the first instance returned from `open`. Later instances must return the same.
    info: DeviceInfo,
    terms: Arc<Terms>,
    pool: Pool<Instance>,
    policy: Policy,
    recall: Recall,
    /// The losses of the layers below.
    losses_below: Vec<Arc<Losses>>,
    /// Whether an instance took half of its memory in its first calls. Then the plugin needs that much, and the pool
    /// doesn't retire its instances.
    needs_much: AtomicBool,
}

/// A plugin that never stops growing needs more calls than these to take half of its memory.
const FEW_CALLS: u64 = 4;

impl std::fmt::Debug for PluginLayer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PluginLayer")
            .field("export", &self.terms.export)
            .finish_non_exhaustive()
    }
}

impl PluginLayer {
    /// Makes the first instance and opens the export in it. `losses_below` are the losses of the layers below.
    ///
    /// # Errors
    /// The tenant has no instance left, the instance can't be made, the plugin refused to open, or what it returned
    /// can't be advertised.
    pub(crate) async fn open(
        plugin: Arc<Plugin>,
        ctx: ExportContext,
        policy: Policy,
        losses_below: Vec<Arc<Losses>>,
    ) -> Result<Self, Failure> {
        let ctx = Arc::new(ctx);
        let Some(share) = ctx.quota.tenant.instances.take() else {
            ctx.metrics.refusals(Budget::Instances).one();
            return Err(no_instance());
        };
        let mut instance = plugin.instance(&ctx, 0).await?;
        let mut info = instance
            .open(&ctx.names.export)
            .await
            .map_err(CallError::into_failure)?;
        info.immutable |= policy.immutable;
        let export = advertise(&plugin, &ctx, &info, policy.read_only)?;
        let most = match info.mode {
            InstanceMode::Single => 1,
            InstanceMode::Parallel => ctx.limits.instances,
        };
        let (quota, metrics) = (&ctx.quota.tenant.instances, &ctx.metrics);
        let pool = Pool::new(
            most,
            Arc::clone(quota),
            Arc::clone(metrics),
            instance,
            share,
        );
        let immutable = info.immutable && export.flags.contains(ExportFlags::READ_ONLY);
        let terms = Arc::new(Terms {
            tenant: ctx.names.tenant.clone(),
            export,
            limits: ctx.limits.clone(),
            quota: Some(Arc::clone(&ctx.quota)),
            sparse: plugin.world().has(Interfaces::SPARSE),
            extents_on_error: policy.extents_on_error,
        });
        Ok(Self {
            recall: Recall::new(plugin.world(), &ctx, immutable),
            plugin,
            ctx,
            info,
            terms,
            pool,
            policy,
            losses_below,
            needs_much: AtomicBool::new(false),
        })
    }

    /// Releases what this layer doesn't need, as [`PluginExport::release_idle`](stack::PluginExport::release_idle)
    /// says.
    pub(crate) fn release_idle(&self) {
        if !self.holds_the_data() {
            self.pool.release_idle();
        }
        self.recall.forget();
        self.ctx.grants.blobs.iter().for_each(Blob::forget);
    }

    /// Whether the memory of the layer's only instance is the disk, so that a new instance would return zeroes.
    pub(crate) fn holds_the_data(&self) -> bool {
        self.info.mode == InstanceMode::Single && !self.read_only()
    }

    /// The layer as the host serves it, to clients or to a filter above.
    #[must_use]
    pub fn served(self: &Arc<Self>) -> Served<Self> {
        let (terms, metrics) = (Arc::clone(&self.terms), Arc::clone(&self.ctx.metrics));
        Served::new(Arc::clone(self), terms, metrics)
    }

    /// What the layer advertises, and what its users may use.
    #[must_use]
    pub fn terms(&self) -> &Arc<Terms> {
        &self.terms
    }

    /// The counters of this layer alone.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.ctx.metrics
    }

    /// The plugin that serves this layer.
    #[must_use]
    pub fn plugin(&self) -> &Plugin {
        &self.plugin
    }

    /// Whether the mode is `parallel`, so that any call may run in a new instance.
    #[must_use]
    pub fn is_parallel(&self) -> bool {
        self.info.mode == InstanceMode::Parallel
    }

    /// Whether the contents never change, by the plugin's word or the operator's.
    #[must_use]
    pub fn is_immutable(&self) -> bool {
        self.info.immutable
    }

    /// Whether the plugin reports where its bytes are, and that never changes.
    #[must_use]
    pub fn is_mapped(&self) -> bool {
        self.plugin.world().has(Interfaces::MAPPABLE) && self.is_immutable() && self.read_only()
    }

    /// The most that a call of this layer has used so far.
    #[must_use]
    pub fn peaks(&self) -> &Peaks {
        &self.ctx.peaks
    }

    /// The blobs that the operator granted to this layer.
    #[must_use]
    pub fn blobs(&self) -> &[Blob] {
        &self.ctx.grants.blobs
    }

    /// Takes over a loss of the export's previous generation that no client has heard of. The clients of this one hear
    /// of it.
    pub(crate) fn inherit_losses(&self) {
        self.pool.losses().note();
    }

    fn read_only(&self) -> bool {
        self.terms.export.flags.contains(ExportFlags::READ_ONLY)
    }

    /// Whether there's anything to flush: in an instance, in a blob, or in the layer below.
    fn is_unflushed(&self) -> bool {
        let ctx = &self.ctx;
        self.pool.is_dirty()
            || ctx.grants.blobs.iter().any(Blob::is_unsynced)
            || ctx
                .grants
                .next
                .as_ref()
                .is_some_and(|next| next.is_unflushed())
    }

    /// Returns an instance for a request. Queues for it, and waits for the end of the restart's pause after a crash, as
    /// long as the request has time. Dropping the future leaves the queue.
    ///
    /// # Errors
    /// The request has ended, the export has failed for good, the tenant has no instance left, or no instance could be
    /// made.
    async fn acquire(&self, deadline: &Deadline) -> Result<Lease<'_, Instance>, Failure> {
        loop {
            let pause = match self.pool.acquire(deadline).await? {
                Acquired::Ready(lease) => return Ok(lease),
                // Boxed, because it's rare and each request would carry room for it.
                Acquired::Vacant(vacancy) => return Box::pin(self.fill(vacancy)).await,
                Acquired::Later(pause) => pause,
                Acquired::Full => return Err(no_instance()),
                Acquired::Closed => {
                    return Err(Failure::plugin(
                        Cause::Lost,
                        "the plugin was stopped, and the export has failed for good",
                    ));
                }
            };
            log_export!(debug, &self.ctx.names, ?pause, "restart paused");
            tokio::select! {
                () = sleep(pause) => {}
                ended = deadline.ended() => return Err(ended),
            }
        }
    }

    /// Makes another instance, and opens the export in it. Dropping the future returns the vacancy.
    async fn fill<'a>(
        &'a self,
        vacancy: Vacancy<'a, Instance>,
    ) -> Result<Lease<'a, Instance>, Failure> {
        match self.reopen(vacancy.number).await {
            Ok(instance) => Ok(vacancy.fill(instance)),
            Err(failure) => {
                vacancy.failed();
                Err(failure)
            }
        }
    }

    async fn reopen(&self, number: u64) -> Result<Instance, Failure> {
        let mut instance = self.plugin.instance(&self.ctx, number).await?;
        let opened = instance.open(&self.ctx.names.export).await;
        let mut info = opened.map_err(CallError::into_failure)?;
        info.immutable |= self.policy.immutable;
        if !info.is_like(&self.info) {
            let names = &self.ctx.names;
            log_export!(
                warn,
                names,
                ?info,
                "a new instance of the plugin describes another disk than the first one"
            );
            return Err(Failure::plugin(
                Cause::Changed,
                "a new instance of the plugin describes another disk",
            ));
        }
        Ok(instance)
    }

    /// Calls the plugin for extents, and remembers them if the export never changes.
    async fn ask_extents(
        &self,
        deadline: &Deadline,
        map: Box<ExtentMap>,
    ) -> Result<Box<ExtentMap>, Failure> {
        let mut lease = self.acquire(deadline).await?;
        let called = lease.instance().extents(deadline, map).await;
        let map = self.finish_call(lease, called)?;
        self.ctx.metrics.note_extents(&map);
        self.insert_extents(&map);
        Ok(map)
    }

    /// Flushes an instance. If the guest returns an error, that counts as a loss, because its next flush may find
    /// nothing to do.
    async fn flush_instance(
        &self,
        deadline: &Deadline,
        mut lease: Lease<'_, Instance>,
    ) -> Result<(), Failure> {
        let called = lease.instance().flush(deadline).await;
        // A flush that was given up is no loss: the next one repeats it.
        if matches!(called, Err(CallError::Request(_))) && deadline.check().is_ok() {
            self.pool.losses().note();
        }
        self.finish_call(lease, called)
    }

    /// Ends a call: returns its instance to the pool, retires it, or drops it.
    fn finish_call<T>(
        &self,
        mut lease: Lease<'_, Instance>,
        called: Result<T, CallError>,
    ) -> Result<T, Failure> {
        match called {
            Ok(value) => {
                if self.wears_out(lease.instance()) {
                    lease.retire();
                } else {
                    lease.give_back();
                }
                Ok(value)
            }
            Err(CallError::Request(failure)) => {
                lease.give_back();
                self.log(&failure);
                Err(failure)
            }
            Err(CallError::Fatal(failure)) => {
                drop(lease);
                self.after_a_loss();
                Err(failure)
            }
        }
    }

    /// Whether another instance should replace this one, which took much memory. In mode `parallel` any call may run in
    /// a new instance anyway. A plugin whose instances take that much in their first calls needs it, so replacing them
    /// wouldn't help.
    fn wears_out(&self, instance: &Instance) -> bool {
        if !self.is_parallel() || !instance.is_worn() {
            return false;
        }
        if instance.calls < FEW_CALLS {
            self.needs_much.store(true, Ordering::Relaxed);
        }
        !self.needs_much.load(Ordering::Relaxed)
    }

    /// Called when an instance was lost. Closes the pool if the export has failed for good.
    fn after_a_loss(&self) {
        let data_lost = self.holds_the_data();
        if !data_lost && self.policy.on_failure == OnFailure::Restart || self.pool.is_closed() {
            return;
        }
        self.pool.close();
        self.recall.stop();
        let why = if data_lost {
            "its data is lost"
        } else {
            "on-failure is `fail`"
        };
        let names = &self.ctx.names;
        log_export!(error, names, "the export has failed for good: {why}");
    }

    /// Logs a failure that didn't cost the instance.
    fn log(&self, failure: &Failure) {
        let names = &self.ctx.names;
        match failure.fault {
            Fault::Plugin(_) => log_export!(warn, names, "{}", failure.text),
            _ => log_export!(debug, names, errno = %failure.errno, "{}", failure.text),
        }
    }
}

/// The failure when the tenant has as many instances as it may.
fn no_instance() -> Failure {
    Failure::plugin(Cause::Budget, "the tenant has no instance left")
}

impl Pooled for Instance {
    fn number(&self) -> u64 {
        self.number
    }

    fn is_dirty(&self) -> bool {
        self.dirty
    }
}

impl Device for PluginLayer {
    async fn read(
        &self,
        deadline: &Deadline,
        offset: u64,
        length: u32,
        mut reply: Box<ReadReply>,
    ) -> Result<Box<ReadReply>, Failure> {
        if self.lookup(deadline, offset, length, &mut reply).await? {
            return carry_out::read(&self.ctx, deadline, reply).await;
        }
        let mut lease = self.acquire(deadline).await?;
        let called = lease.instance().read(deadline, reply, offset, length).await;
        let reply = self.finish_call(lease, called)?;
        if let Err(error) = reply.finish() {
            log_export!(warn, &self.ctx.names, offset, length, "{error}");
            return Err(Failure::plugin(
                Cause::Reply,
                "the plugin's reply has the wrong length",
            ));
        }
        // From here on other calls can use the instance.
        carry_out::read(&self.ctx, deadline, reply).await
    }

    async fn write(
        &self,
        deadline: &Deadline,
        offset: u64,
        payload: Bytes,
        flags: WriteFlags,
    ) -> Result<(), Failure> {
        let mut lease = self.acquire(deadline).await?;
        let called = lease
            .instance()
            .write(deadline, payload, offset, flags.into())
            .await;
        let plan = self.finish_call(lease, called)?;
        if plan.stores.is_empty() {
            Ok(())
        } else {
            carry_out::write(&self.ctx, deadline, plan, flags).await
        }
    }

    async fn flush(&self, deadline: &Deadline) -> Result<(), Failure> {
        let next = self.ctx.grants.next.as_ref();
        let before = next.map(|next| next.mark());
        let mut dirty = self.pool.dirty();
        let mut any = false;
        while let Some(lease) = dirty.next(deadline).await? {
            any = true;
            self.flush_instance(deadline, lease).await?;
        }
        if !any {
            // An earlier run of this server may have left changes that the plugin still has to flush.
            let lease = self.acquire(deadline).await?;
            self.flush_instance(deadline, lease).await?;
        }
        // The host carries out a write by reference after the guest's call. The plugin's own flush may have come in
        // between, and then a later one finds nothing to do.
        let carried_out = carry_out::flush(&self.ctx, deadline, before).await;
        carried_out.inspect_err(|failure| {
            if !failure.was_given_up() {
                self.pool.losses().note();
            }
        })
    }

    async fn trim(
        &self,
        deadline: &Deadline,
        offset: u64,
        length: u64,
        flags: WriteFlags,
    ) -> Result<(), Failure> {
        let mut lease = self.acquire(deadline).await?;
        let called = lease
            .instance()
            .trim(deadline, offset, length, flags.into())
            .await;
        self.finish_call(lease, called)
    }

    async fn zero(
        &self,
        deadline: &Deadline,
        offset: u64,
        length: u64,
        flags: WriteFlags,
    ) -> Result<(), Failure> {
        let mut lease = self.acquire(deadline).await?;
        let called = lease
            .instance()
            .zero(deadline, offset, length, flags.into())
            .await;
        self.finish_call(lease, called)
    }

    async fn cache(&self, deadline: &Deadline, offset: u64, length: u64) -> Result<(), Failure> {
        let mut lease = self.acquire(deadline).await?;
        let called = lease.instance().cache(deadline, offset, length).await;
        self.finish_call(lease, called)
    }

    fn losses(&self) -> Vec<Arc<Losses>> {
        let own = Arc::clone(self.pool.losses());
        std::iter::once(own)
            .chain(self.losses_below.iter().map(Arc::clone))
            .collect()
    }

    async fn leave(&self) {
        if !self.is_unflushed() {
            return;
        }
        let deadline = Deadline::unattended(self.ctx.limits.wall);
        if let Err(failure) = self.flush(&deadline).await {
            // Clients that are connected, and the next one to connect, must hear of the loss.
            self.pool.losses().note();
            let names = &self.ctx.names;
            let text = failure.text;
            log_export!(error, names, "the last changes aren't durable: {text}");
        }
    }

    async fn extents(
        &self,
        deadline: &Deadline,
        mut map: Box<ExtentMap>,
    ) -> Result<Box<ExtentMap>, Failure> {
        if !self.terms.sparse || self.lookup_extents(&mut map) {
            return Ok(map);
        }
        if let Some(wider) = self.wider_question(&map) {
            let wider = self.ask_extents(deadline, wider).await?;
            copy(&wider, &mut map);
            return Ok(map);
        }
        self.ask_extents(deadline, map).await
    }
}
