//! A layer of an export that a plugin or a filter in its sandbox serves.

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

/// A layer of an export: a plugin, or a filter that is one.
pub struct PluginLayer {
    plugin: Arc<Plugin>,
    ctx: Arc<ExportContext>,
    /// What the first instance said; the others must say the same.
    info: DeviceInfo,
    terms: Arc<Terms>,
    pool: Pool<Instance>,
    policy: Policy,
    recall: Recall,
    /// What is lost in the layers below.
    losses_below: Vec<Arc<Losses>>,
    /// An instance took half of its memory in its first calls: that's no reason to replace it.
    needs_much: AtomicBool,
}

/// Calls of an instance in which a plugin that grows for ever doesn't come to half of its memory.
const FEW_CALLS: u64 = 4;

impl std::fmt::Debug for PluginLayer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PluginLayer")
            .field("export", &self.terms.export)
            .finish_non_exhaustive()
    }
}

impl PluginLayer {
    /// Makes the first instance and opens the export in it. `losses_below` are those of the layers that it stands on.
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

    /// As [`PluginExport::release_idle`](stack::PluginExport::release_idle), in this layer.
    pub(crate) fn release_idle(&self) {
        if !self.holds_the_data() {
            self.pool.release_idle();
        }
        self.recall.forget();
        self.ctx.grants.blobs.iter().for_each(Blob::forget);
    }

    /// Whether an instance's memory is the disk: a fresh one would return zeroes for it.
    pub(crate) fn holds_the_data(&self) -> bool {
        self.info.mode == InstanceMode::Single && !self.read_only()
    }

    /// It as it's served, to clients or to a filter above.
    #[must_use]
    pub fn served(self: &Arc<Self>) -> Served<Self> {
        let (terms, metrics) = (Arc::clone(&self.terms), Arc::clone(&self.ctx.metrics));
        Served::new(Arc::clone(self), terms, metrics)
    }

    /// What it promises, and what may be used of it.
    #[must_use]
    pub fn terms(&self) -> &Arc<Terms> {
        &self.terms
    }

    /// Counts what this layer alone does; each layer has counters of its own.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.ctx.metrics
    }

    /// The plugin of this layer.
    #[must_use]
    pub fn plugin(&self) -> &Plugin {
        &self.plugin
    }

    /// Whether any call may meet a fresh instance: mode `parallel`.
    #[must_use]
    pub fn is_parallel(&self) -> bool {
        self.info.mode == InstanceMode::Parallel
    }

    /// Whether the plugin says that its contents never change.
    #[must_use]
    pub fn is_immutable(&self) -> bool {
        self.info.immutable
    }

    /// Whether the plugin tells where its bytes are, and that never changes.
    #[must_use]
    pub fn is_mapped(&self) -> bool {
        self.plugin.world().has(Interfaces::MAPPABLE) && self.is_immutable() && self.read_only()
    }

    /// The most that its calls have taken.
    #[must_use]
    pub fn peaks(&self) -> &Peaks {
        &self.ctx.peaks
    }

    /// What it was granted.
    #[must_use]
    pub fn blobs(&self) -> &[Blob] {
        &self.ctx.grants.blobs
    }

    /// Its generation before this one has untold losses: clients of this one hear of them.
    pub(crate) fn inherit_losses(&self) {
        self.pool.losses().note();
    }

    fn read_only(&self) -> bool {
        self.terms.export.flags.contains(ExportFlags::READ_ONLY)
    }

    /// Whether there is anything to flush: in an instance, in a blob, or in the layer below.
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

    /// An instance for a request, which queues for it no longer than it has time. While its plugin's restart pauses
    /// after a crash, the request waits for that too.
    async fn acquire(&self, deadline: &Deadline) -> Result<Lease<'_, Instance>, Failure> {
        loop {
            let pause = match self.pool.acquire(deadline).await? {
                Acquired::Ready(lease) => return Ok(lease),
                // Boxed: it's rare, and each request would carry room for it.
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
            log_export!(debug, &self.ctx.names, ?pause, "not restarted yet");
            tokio::select! {
                () = sleep(pause) => {}
                ended = deadline.ended() => return Err(ended),
            }
        }
    }

    /// Makes another instance.
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

    /// Asks the plugin for extents, and remembers them where that's of use.
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

    /// Lets an instance flush. An error that it answers is a loss: asked again it may know of nothing more to do.
    async fn flush_instance(
        &self,
        deadline: &Deadline,
        mut lease: Lease<'_, Instance>,
    ) -> Result<(), Failure> {
        let called = lease.instance().flush(deadline).await;
        // One that was given up is no loss: the next flush does it.
        if matches!(called, Err(CallError::Request(_))) && deadline.check().is_ok() {
            self.pool.losses().note();
        }
        self.finish_call(lease, called)
    }

    /// A call has ended: keeps the instance, or lets it go.
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
                self.tell(&failure);
                Err(failure)
            }
            Err(CallError::Fatal(failure)) => {
                drop(lease);
                self.after_a_loss();
                Err(failure)
            }
        }
    }

    /// Whether another instance is to take this one's place: any call may meet a fresh one anyway. Not
    /// where that would be so at once again: then the plugin grows no further, it needs that much.
    fn wears_out(&self, instance: &Instance) -> bool {
        if !self.is_parallel() || !instance.is_worn() {
            return false;
        }
        if instance.calls < FEW_CALLS {
            self.needs_much.store(true, Ordering::Relaxed);
        }
        !self.needs_much.load(Ordering::Relaxed)
    }

    /// An instance was lost: another one may be made, or never again.
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
            "as on-failure says"
        };
        let names = &self.ctx.names;
        log_export!(error, names, "the export has failed for good: {why}");
    }

    /// Tells the operator of a rule that was broken without costing the instance.
    fn tell(&self, failure: &Failure) {
        let names = &self.ctx.names;
        match failure.fault {
            Fault::Plugin(_) => log_export!(warn, names, "{}", failure.text),
            _ => log_export!(debug, names, errno = %failure.errno, "{}", failure.text),
        }
    }
}

/// The tenant has as many instances as it may.
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
        // The instance is free meanwhile.
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
            // Changes of an earlier life of this server may still be on their way.
            let lease = self.acquire(deadline).await?;
            self.flush_instance(deadline, lease).await?;
        }
        // The host stored bytes by reference after its call had returned: the plugin's own flush may
        // have come in between, and then knows of nothing more to do.
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
            // Whoever is still connected, or comes next, is to hear of it.
            self.pool.losses().note();
            let names = &self.ctx.names;
            let text = failure.text;
            log_export!(error, names, "what was changed last isn't durable: {text}");
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
