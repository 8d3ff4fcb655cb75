//! What the host keeps for one guest: the data of its store.

use std::sync::Arc;
use std::time::{Duration, Instant};

use blob::Blob;
use device::Deadline;
use device::fault::{Cause, Failure};
use device::reply::ReadReply;
use extent_map::ExtentMap;
use nbd_proto::limits::MAX_STRING;
use nbdbox_config::limits::{DIRECT, HANDLES, QUESTIONS};
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::abi::wit::Level;
use crate::instance::context::ExportContext;
use crate::instance::log::{LogStream, Said};
use crate::instance::request::{Lend, RequestState, WritePlan};
use crate::mapping::Draft;
use crate::meter::call::Call;
use crate::meter::host_trap::HostTrap;
use crate::meter::memory::MemoryMeter;
use crate::next::{Misuse, Next};

/// The data of a store.
pub(crate) struct Guest {
    pub(crate) ctx: Arc<ExportContext>,
    pub(crate) memory: MemoryMeter,
    /// CPU and time of the current call.
    pub(crate) call: Call,
    /// What the current call lends.
    request: RequestState,
    pub(crate) explained: Option<String>,
    /// The first rule that the current call broke without being stopped for it.
    blamed: Option<Failure>,
    handles: u32,
    /// Questions to the layer below that the current call may still ask.
    questions: u32,
    /// Calls to the host since the guest was entered: counted here first, where it costs nothing.
    host_calls: u64,
    /// The most handles so far.
    most_handles: u32,
    pub(crate) born: Instant,
    /// Warnings that it has given.
    warned: Said,
    wasi: WasiCtx,
    table: ResourceTable,
}

impl Guest {
    pub(crate) fn new(ctx: Arc<ExportContext>) -> Self {
        let memory = MemoryMeter::new(ctx.limits.memory, &ctx.quota, Arc::clone(&ctx.metrics));
        let call = Call::new(ctx.quota.cpu.as_ref(), &ctx.metrics);
        // No preopens, no sockets, no environment, no arguments; what it prints is its log.
        let wasi = WasiCtx::builder()
            .stdout(LogStream(Arc::clone(&ctx.log)))
            .stderr(LogStream(Arc::clone(&ctx.log)))
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .max_random_size(DIRECT.into())
            .build();
        // WASI's handles live in the host's memory, of which nobody else keeps count.
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES as usize);
        ctx.metrics.instances.rise(1);
        Self {
            ctx,
            memory,
            call,
            request: RequestState::default(),
            explained: None,
            blamed: None,
            handles: 0,
            questions: 0,
            host_calls: 0,
            most_handles: 0,
            born: Instant::now(),
            warned: Said::default(),
            wasi,
            table,
        }
    }

    /// Writes a line to the operator's log.
    pub(crate) fn log(&mut self, level: Level, text: &str) {
        self.ctx.log.line(level, text, &mut self.warned);
    }

    /// A call begins for a request, which may use `budget` of CPU time; it lends.
    pub(crate) fn begin(&mut self, budget: Duration, deadline: &Deadline, lent: impl Lend) {
        self.lend(lent);
        self.explained = None;
        self.blamed = None;
        self.host_calls = 0;
        self.questions = QUESTIONS;
        self.call.begin(budget, Some(deadline));
    }

    /// Takes note of what a call has taken, and of how long it had a thread.
    pub(crate) fn note_end(&self, ran: Duration) {
        let ExportContext { peaks, metrics, .. } = &*self.ctx;
        peaks.note(self.memory.held(), self.call.used(), self.most_handles);
        metrics.guest.add(ran);
    }

    /// A call has ended.
    ///
    /// # Errors
    /// It broke a rule.
    pub(crate) fn end(&mut self) -> Result<(), Failure> {
        self.call.end();
        self.ctx.metrics.guest_calls.one();
        self.ctx.metrics.host_calls.add(self.host_calls);
        self.blamed.take().map_or(Ok(()), Err)
    }

    /// Lends to the guest, in place of what was lent before.
    pub(crate) fn lend(&mut self, lent: impl Lend) {
        self.request = lent.into();
    }

    /// Takes back what was lent.
    ///
    /// # Errors
    /// Something else was lent.
    pub(crate) fn take_back<L: Lend>(&mut self) -> Result<L, HostTrap> {
        L::take_from(std::mem::take(&mut self.request)).ok_or(HostTrap::Handle)
    }

    /// What is lent, where it is: of a call that lends something else the guest has no valid handle.
    fn lent<L: Lend>(&mut self) -> Result<&mut L, HostTrap> {
        L::find_in(&mut self.request).ok_or(HostTrap::Handle)
    }

    /// The guest calls the host for what its request lends.
    pub(crate) fn count_host_call(&mut self) {
        self.host_calls += 1;
    }

    /// The guest broke a rule for which the request fails, but it goes on.
    pub(crate) fn blame(&mut self, cause: Cause, text: &'static str) {
        self.blamed
            .get_or_insert_with(|| Failure::plugin(cause, text));
    }

    /// Keeps the words for the errno that is about to be returned.
    pub(crate) fn explain(&mut self, text: &str) {
        self.explained = Some(text[..text.floor_char_boundary(MAX_STRING)].to_owned());
    }

    /// Counts a new handle.
    pub(crate) fn take_handle(&mut self) -> Result<(), HostTrap> {
        if self.handles >= HANDLES {
            return Err(HostTrap::Handles);
        }
        self.handles += 1;
        self.most_handles = self.most_handles.max(self.handles);
        Ok(())
    }

    /// A handle was dropped.
    pub(crate) fn drop_handle(&mut self) {
        self.handles = self.handles.saturating_sub(1);
    }

    /// The reply of the current read.
    pub(crate) fn reply(&mut self) -> Result<&mut ReadReply, HostTrap> {
        self.lent::<Box<_>>().map(|reply| &mut **reply)
    }

    /// The plan of the current write.
    pub(crate) fn plan(&mut self) -> Result<&mut WritePlan, HostTrap> {
        self.lent()
    }

    /// The map of the current report.
    pub(crate) fn extents(&mut self) -> Result<&mut ExtentMap, HostTrap> {
        self.lent::<Box<_>>().map(|map| &mut **map)
    }

    /// What the guest says of where its bytes are.
    pub(crate) fn draft(&mut self) -> Result<&mut Draft, HostTrap> {
        self.lent()
    }

    /// The layer below, if this is a filter, and is open.
    pub(crate) fn next(&self) -> Result<Arc<Next>, HostTrap> {
        self.ctx.grants.next.clone().ok_or(HostTrap::Below)
    }

    /// Counts a question to the layer below.
    pub(crate) fn take_question(&mut self) -> Result<(), HostTrap> {
        self.questions = self.questions.checked_sub(1).ok_or(HostTrap::Questions)?;
        Ok(())
    }

    /// The filter planned what it may not.
    pub(crate) fn blame_misuse(&mut self, misuse: Misuse) {
        self.blame(
            Cause::Range,
            match misuse {
                Misuse::Range => "the filter went outside the layer below",
                Misuse::Blocks => "the filter went off the blocks of the layer below",
                Misuse::Length => "the filter asked for more than the layer below gives at once",
                Misuse::ReadOnly => "the filter wrote to a layer below that is read-only",
                Misuse::Changed => "a filter that changes bytes passed them on as they are",
            },
        );
    }

    /// A granted blob, by the index that its handle stands for.
    pub(crate) fn blob(&self, rep: u32) -> Result<&Blob, HostTrap> {
        self.ctx
            .grants
            .blobs
            .get(rep as usize)
            .ok_or(HostTrap::Handle)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.ctx.metrics.instances.fall(1);
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}
