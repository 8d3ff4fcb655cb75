//! An instance: one store with one guest, and the rules for its calls.

pub(crate) mod context;
pub(crate) mod functions;
pub(crate) mod guest;
pub(crate) mod imports;
pub(crate) mod log;
pub(crate) mod request;

use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use device::Deadline;
use device::fault::{Cause, Failure};
use device::reply::ReadReply;
use extent_map::{ExtentMap, Wanted};
use lanes::thread_time;
use nbdbox_config::limits::DIRECT;
use wasmtime::Store;
use wasmtime::component::{ComponentNamedList, InstancePre, Lift, Lower, Resource, TypedFunc};

use crate::abi::names::log_export;
use crate::abi::wit::{self, DeviceInfo, Errno, ListedExport, PluginInfo, WriteFlags};
use crate::component::footprint::Footprint;
use crate::instance::context::ExportContext;
use crate::instance::functions::{Functions, Indices};
use crate::instance::guest::Guest;
use crate::instance::imports::{ExtentsHandle, MappingHandle, ReadReplyHandle, WritePayloadHandle};
use crate::instance::request::{Lend, WritePlan};
use crate::mapping::Draft;
use crate::meter::call::Clocks;
use crate::meter::host_trap;
use crate::meter::memory::Unaffordable;

/// Bytes that a host call may pass to the host in addition to the request's own.
const SLACK: usize = 64 << 10;

/// The number of every handle that a request lends. A call lends one of each kind at most.
const THE_ONE: u32 = 0;

/// A store with a live guest.
pub(crate) struct Instance {
    store: Store<Guest>,
    /// Boxed, so that moving an instance in and out of its pool is cheap.
    functions: Box<Functions>,
    /// The clocks of the store, outside of it, so that they're at hand while a call borrows the store.
    clocks: Clocks,
    /// Calls so far, including `open`.
    pub(crate) calls: u64,
    /// Whether the instance took a change since its last flush.
    pub(crate) dirty: bool,
    /// Identifies the instance in its pool.
    pub(crate) number: u64,
}

/// How a call failed.
pub(crate) enum CallError {
    /// The plugin returned an error, or broke a rule for which only the request fails. The instance goes on.
    Request(Failure),
    /// The store can't be used again. The caller must drop the instance.
    Fatal(Failure),
}

impl CallError {
    pub(crate) fn into_failure(self) -> Failure {
        match self {
            Self::Request(failure) | Self::Fatal(failure) => failure,
        }
    }
}

type Called<T> = Result<T, CallError>;

/// Each call runs the guest within its limits of CPU time, wall time and memory. After [`CallError::Fatal`], or if the
/// caller drops a call's future before its end, the instance can't be used again.
impl Instance {
    /// Charges `footprint`, makes a store with the limits of `ctx`, and instantiates the plugin in it. `number`
    /// identifies the instance in its pool. The caller must run this on a lane's thread: it may keep the thread for the
    /// time that filling the memories takes, and charges that time only afterwards. Dropping the future drops the
    /// store.
    ///
    /// # Errors
    /// The limits leave no room for the footprint; or the host stopped the plugin, its time was up, or its functions
    /// don't have the WIT's types.
    pub(crate) async fn new(
        pre: &InstancePre<Guest>,
        indices: &Indices,
        footprint: Footprint,
        ctx: &Arc<ExportContext>,
        number: u64,
    ) -> Result<Self, Failure> {
        let engine = pre.engine();
        let mut guest = Guest::new(Arc::clone(ctx));
        let charged = guest.memory.charge(footprint);
        charged.map_err(|lack| no_room(ctx, footprint, lack))?;
        let mut store = Store::new(engine, guest);
        store.limiter(|guest| &mut guest.memory);
        store.epoch_deadline_callback(|mut store| store.data_mut().call.tick());
        store.set_hostcall_fuel(DIRECT as usize + SLACK);
        store.set_epoch_deadline(1);
        // For no request: while it starts, a guest can't reach the layer below.
        store.data_mut().call.begin(ctx.limits.open_cpu, None);
        let begun = thread_time();
        let clocks = store.data().call.clocks();
        let ended = {
            let instantiated = pin!(pre.instantiate_async(&mut store));
            clocks.run(ctx.limits.wall, instantiated).await
        };
        let Some(made) = ended.output else {
            return Err(out_of_time(&store));
        };
        if thread_time() - begun > ctx.limits.open_cpu {
            return Err(out_of_cpu(&store));
        }
        let functions = made.and_then(|instance| indices.functions(&mut store, &instance));
        match functions {
            Ok(functions) => Ok(Self {
                clocks,
                store,
                functions: Box::new(functions),
                calls: 0,
                dirty: false,
                number,
            }),
            Err(error) => Err(fault(&store, &error)),
        }
    }

    /// Calls `describe`. Returns `None` if the plugin doesn't export it.
    pub(crate) async fn describe(&mut self) -> Called<Option<PluginInfo>> {
        let Some(describe) = self.functions.describe else {
            return Ok(None);
        };
        let budget = self.store.data().ctx.limits.open_cpu;
        let ((info,), _) = self
            .call(&self.unattended(), describe, (), (), 0, budget)
            .await?;
        Ok(Some(info))
    }

    /// Calls `changes-bytes`, with which a filter tells whether it changes the bytes that pass through it. Returns
    /// `false` if the plugin doesn't export it.
    pub(crate) async fn changes_bytes(&mut self) -> Called<bool> {
        let Some(changes_bytes) = self.functions.changes_bytes else {
            return Ok(false);
        };
        let budget = self.store.data().ctx.limits.open_cpu;
        let ((changes,), _) = self
            .call(&self.unattended(), changes_bytes, (), (), 0, budget)
            .await?;
        Ok(changes)
    }

    /// Opens the export `name`.
    pub(crate) async fn open(&mut self, name: &str) -> Called<DeviceInfo> {
        let budget = self.store.data().ctx.limits.open_cpu;
        let open = self.functions.open;
        let ((info,), _) = self
            .call(&self.unattended(), open, (name.to_owned(),), (), 0, budget)
            .await?;
        self.store.data_mut().memory.ready();
        self.answered(info)
    }

    /// Whether another instance should replace this one before it reaches its memory limit and a client's request
    /// fails. The tools of some languages never free what a call passes to the host.
    pub(crate) fn is_worn(&self) -> bool {
        !self.dirty && self.store.data().memory.is_worn()
    }

    /// Returns the exports of a plugin that lists its own; none if it doesn't export `export-list`.
    pub(crate) async fn list_exports(&mut self) -> Called<Vec<ListedExport>> {
        let Some(list) = self.functions.list_exports else {
            return Ok(Vec::new());
        };
        let ((exports,), _) = self.request(&self.unattended(), list, (), (), 0).await?;
        self.answered(exports)
    }

    /// Lets the guest fill `reply` with `length` bytes from `offset`. The returned reply may be incomplete, and may
    /// have places that the host has yet to fill.
    pub(crate) async fn read(
        &mut self,
        deadline: &Deadline,
        reply: Box<ReadReply>,
        offset: u64,
        length: u32,
    ) -> Called<Box<ReadReply>> {
        let handle = Resource::<ReadReplyHandle>::new_borrow(THE_ONE);
        let params = (handle, offset, length);
        let ((done,), reply) = self
            .request(
                deadline,
                self.functions.read,
                params,
                reply,
                length as usize,
            )
            .await?;
        self.answered(done)?;
        Ok(reply)
    }

    /// Lends a payload to the guest. The returned plan lists what the host has to store, and where.
    pub(crate) async fn write(
        &mut self,
        deadline: &Deadline,
        payload: Bytes,
        offset: u64,
        mode: WriteFlags,
    ) -> Called<WritePlan> {
        let Some(write) = self.functions.write else {
            return Err(not_exported());
        };
        self.dirty = true;
        let handle = Resource::<WritePayloadHandle>::new_borrow(THE_ONE);
        let length = payload.len();
        let plan = WritePlan {
            payload,
            stores: Vec::new(),
        };
        let ((done,), plan) = self
            .request(deadline, write, (handle, offset, mode), plan, length)
            .await?;
        self.answered(done)?;
        Ok(plan)
    }

    /// Lets the guest flush the changes that this instance took. A guest without `flush` has none.
    pub(crate) async fn flush(&mut self, deadline: &Deadline) -> Called<()> {
        let Some(flush) = self.functions.flush else {
            return Ok(());
        };
        let ((done,), _) = self.request(deadline, flush, (), (), 0).await?;
        self.answered(done)?;
        self.dirty = false;
        Ok(())
    }

    /// Tells the guest that clients no longer need a range.
    pub(crate) async fn trim(
        &mut self,
        deadline: &Deadline,
        offset: u64,
        length: u64,
        mode: WriteFlags,
    ) -> Called<()> {
        let Some(trim) = self.functions.trim else {
            return Err(not_exported());
        };
        self.dirty = true;
        let ((done,), _) = self
            .request(deadline, trim, (offset, length, mode), (), 0)
            .await?;
        self.answered(done)
    }

    /// Lets the guest make a range read as zeroes.
    pub(crate) async fn zero(
        &mut self,
        deadline: &Deadline,
        offset: u64,
        length: u64,
        mode: WriteFlags,
    ) -> Called<()> {
        let Some(zero) = self.functions.zero else {
            return Err(not_exported());
        };
        self.dirty = true;
        let ((done,), _) = self
            .request(deadline, zero, (offset, length, mode), (), 0)
            .await?;
        self.answered(done)
    }

    /// Tells the guest that clients will read a range soon.
    pub(crate) async fn cache(
        &mut self,
        deadline: &Deadline,
        offset: u64,
        length: u64,
    ) -> Called<()> {
        let Some(cache) = self.functions.cache else {
            return Err(not_exported());
        };
        let ((done,), _) = self
            .request(deadline, cache, (offset, length), (), 0)
            .await?;
        self.answered(done)
    }

    /// Lets the guest add its extents to `map`.
    pub(crate) async fn extents(
        &mut self,
        deadline: &Deadline,
        map: Box<ExtentMap>,
    ) -> Called<Box<ExtentMap>> {
        let Some(report) = self.functions.report else {
            return Err(not_exported());
        };
        let handle = Resource::<ExtentsHandle>::new_borrow(THE_ONE);
        let (range, one) = (map.range(), map.wanted() == Wanted::One);
        let params = (handle, range.start, range.end - range.start, one);
        let ((done,), map) = self.request(deadline, report, params, map, 0).await?;
        self.answered(done)?;
        Ok(map)
    }

    /// Lets the guest tell where the bytes around `wanted` are.
    pub(crate) async fn locate(
        &mut self,
        deadline: &Deadline,
        draft: Draft,
        wanted: Range<u64>,
    ) -> Called<Draft> {
        let Some(locate) = self.functions.locate else {
            return Err(not_exported());
        };
        let handle = Resource::<MappingHandle>::new_borrow(THE_ONE);
        let params = (handle, wanted.start, wanted.end - wanted.start);
        let ((done,), draft) = self.request(deadline, locate, params, draft, 0).await?;
        self.answered(done)?;
        Ok(draft)
    }

    /// A deadline for calls that no client requested.
    fn unattended(&self) -> Deadline {
        Deadline::unattended(self.store.data().ctx.limits.wall)
    }

    /// Makes a call within the limits of a request.
    async fn request<P, R, L>(
        &mut self,
        deadline: &Deadline,
        function: TypedFunc<P, R>,
        params: P,
        lent: L,
        length: usize,
    ) -> Called<(R, L)>
    where
        P: ComponentNamedList + Lower + Send + Sync,
        R: ComponentNamedList + Lift + Send + Sync + 'static,
        L: Lend,
    {
        let budget = self.store.data().ctx.limits.cpu_for(length as u64);
        self.call(deadline, function, params, lent, length, budget)
            .await
    }

    /// Makes a guest call: lends, meters, times, and takes back what it lent.
    ///
    /// `length` is the number of bytes that the request itself moves; the guest may pass that many to the host.
    async fn call<P, R, L>(
        &mut self,
        deadline: &Deadline,
        function: TypedFunc<P, R>,
        params: P,
        lent: L,
        length: usize,
        budget: Duration,
    ) -> Called<(R, L)>
    where
        P: ComponentNamedList + Lower + Send + Sync,
        R: ComponentNamedList + Lift + Send + Sync + 'static,
        L: Lend,
    {
        self.calls += 1;
        let store = &mut self.store;
        store.set_epoch_deadline(1);
        store.set_hostcall_fuel(length.max(DIRECT as usize) + SLACK);
        let guest = store.data_mut();
        guest.begin(budget, deadline, lent);
        let wall = guest.ctx.limits.wall;
        let ended = {
            let call = pin!(function.call_async(&mut *store, params));
            self.clocks.run(wall, call).await
        };
        store.data().note_end(ended.ran);
        match ended.output {
            Some(Ok(result)) => {
                let guest = store.data_mut();
                // Taken out of the store even if the call failed, so that nothing of a request outlives its call there.
                let lent = guest.take_back();
                guest.end().map_err(CallError::Request)?;
                Ok((result, lent.map_err(|_| misplaced())?))
            }
            Some(Err(error)) => Err(CallError::Fatal(fault(store, &error))),
            None => Err(CallError::Fatal(out_of_time(store))),
        }
    }

    /// Turns the plugin's errno into a failure, with the text that the plugin left for it.
    fn answered<T>(&mut self, result: Result<T, Errno>) -> Called<T> {
        result.map_err(|errno| {
            let text = self.store.data_mut().explained.take();
            CallError::Request(Failure::answer(errno.into(), text))
        })
    }
}

/// Logs that a guest was stopped, and returns the failure for the client.
fn fault(store: &Store<Guest>, error: &wasmtime::Error) -> Failure {
    let guest = store.data();
    let failure = host_trap::failure(error, guest.memory.refused());
    let (names, cpu) = (&guest.ctx.names, guest.call.used());
    let detail = host_trap::one_line(error);
    log_export!(warn, names, ?cpu, "{}: {detail}", failure.text);
    failure
}

/// Logs that filling memories and tables took longer than `open-cpu`, and returns the failure.
fn out_of_cpu(store: &Store<Guest>) -> Failure {
    let guest = store.data();
    let (names, limit) = (&guest.ctx.names, guest.ctx.limits.open_cpu);
    let text = "the plugin takes too much CPU time to start";
    log_export!(warn, names, open_cpu = ?limit, "{text}");
    Failure::plugin(Cause::CpuTime, text)
}

/// Logs why an instance can't be made, and returns the failure for the client.
fn no_room(ctx: &ExportContext, footprint: Footprint, lack: Unaffordable) -> Failure {
    let failure = host_trap::unaffordable(lack);
    let Footprint { bytes, mappings } = footprint;
    let (text, limit) = (&failure.text, lack.limit());
    log_export!(
        warn,
        &ctx.names,
        bytes,
        mappings,
        "can't make an instance: {text}; raise {limit}"
    );
    failure
}

/// Logs that the wall time was up, and returns the failure.
fn out_of_time(store: &Store<Guest>) -> Failure {
    let guest = store.data();
    let (names, wall) = (&guest.ctx.names, guest.ctx.limits.wall);
    let failure = Failure::plugin(Cause::WallTime, "the plugin took too long");
    log_export!(warn, names, ?wall, "{}", failure.text);
    failure
}

/// The failure of a call to a function that the export's flags don't advertise.
fn not_exported() -> CallError {
    CallError::Request(Failure::host(
        nbd_proto::Errno::Enotsup,
        "this export doesn't offer the operation",
    ))
}

/// The failure when a call returned something else than what was lent to it.
fn misplaced() -> CallError {
    CallError::Fatal(Failure::host(
        nbd_proto::Errno::Eio,
        "the host lost the request",
    ))
}

impl wit::DeviceInfo {
    /// Whether another instance describes the same export in everything that the host relies on. That includes
    /// `immutable`, because the host serves what it remembers of an export whichever instances come later. It excludes
    /// the description, which the host only shows.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let relied_on = |info: &Self| {
            let Self {
                size,
                block_sizes,
                description: _,
                mode,
                read_only,
                immutable,
            } = *info;
            (size, block_sizes, mode, read_only, immutable)
        };
        relied_on(self) == relied_on(other)
    }
}
