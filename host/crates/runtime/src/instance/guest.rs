//! The data of a guest's store: what the host keeps for the guest.

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
    /// The meters of the current call.
    pub(crate) call: Call,
    /// What the current call lends.
    request: RequestState,
    /// The guest's text for the errno that it's about to return, at most 4096 bytes.
    pub(crate) explained: Option<String>,
    /// The first rule that the current call broke and for which the host didn't stop it.
    blamed: Option<Failure>,
    /// Live handles of blobs.
    handles: u32,
    /// Requests that the current call may still send to the layer below.
    questions: u32,
    /// Host calls since the host entered the guest. Counted here first, because that costs nothing.
    host_calls: u64,
    /// The most live handles so far.
    most_handles: u32,
    /// When the store was made.
    pub(crate) born: Instant,
    /// Warnings that this instance has logged.
    warned: Said,
    wasi: WasiCtx,
    table: ResourceTable,
}

impl Guest {
    pub(crate) fn new(ctx: Arc<ExportContext>) -> Self {
        let memory = MemoryMeter::new(ctx.limits.memory, &ctx.quota, Arc::clone(&ctx.metrics));
        let call = Call::new(ctx.quota.cpu.as_ref(), &ctx.metrics);
        // No preopened folders, no sockets, no environment, no arguments. Its output goes to its log.
        let wasi = WasiCtx::builder()
            .stdout(LogStream(Arc::clone(&ctx.log)))
            .stderr(LogStream(Arc::clone(&ctx.log)))
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .max_random_size(DIRECT.into())
            .build();
        // WASI's handles take the host's memory, and nothing else bounds them.
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

    /// Begins a call for a request, with `budget` of CPU time, and lends to it.
    pub(crate) fn begin(&mut self, budget: Duration, deadline: &Deadline, lent: impl Lend) {
        self.lend(lent);
        self.explained = None;
        self.blamed = None;
        self.host_calls = 0;
        self.questions = QUESTIONS;
        self.call.begin(budget, Some(deadline));
    }

    /// Records the peaks of a call, and the time that it had a thread.
    pub(crate) fn note_end(&self, ran: Duration) {
        let ExportContext { peaks, metrics, .. } = &*self.ctx;
        peaks.note(self.memory.held(), self.call.used(), self.most_handles);
        metrics.guest.add(ran);
    }

    /// Ends a call, and counts its host calls.
    ///
    /// # Errors
    /// The call broke a rule for which the host didn't stop it.
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

    /// Returns what is lent. If the call lends something else, the guest used an invalid handle.
    ///
    /// # Errors
    /// Something else is lent.
    fn lent<L: Lend>(&mut self) -> Result<&mut L, HostTrap> {
        L::find_in(&mut self.request).ok_or(HostTrap::Handle)
    }

    /// Counts a call of a host function for what the request lends.
    pub(crate) fn count_host_call(&mut self) {
        self.host_calls += 1;
    }

    /// Records that the guest broke a rule for which the request fails. The guest goes on.
    pub(crate) fn blame(&mut self, cause: Cause, text: &'static str) {
        self.blamed
            .get_or_insert_with(|| Failure::plugin(cause, text));
    }

    /// Keeps the text for the errno that the guest is about to return, cut to 4096 bytes.
    pub(crate) fn explain(&mut self, text: &str) {
        self.explained = Some(text[..text.floor_char_boundary(MAX_STRING)].to_owned());
    }

    /// Counts a new handle.
    ///
    /// # Errors
    /// The guest has as many handles as it may.
    pub(crate) fn take_handle(&mut self) -> Result<(), HostTrap> {
        if self.handles >= HANDLES {
            return Err(HostTrap::Handles);
        }
        self.handles += 1;
        self.most_handles = self.most_handles.max(self.handles);
        Ok(())
    }

    /// Counts a dropped handle.
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

    /// The draft of the current `locate`.
    pub(crate) fn draft(&mut self) -> Result<&mut Draft, HostTrap> {
        self.lent()
    }

    /// The layer below, if this is an open filter.
    pub(crate) fn next(&self) -> Result<Arc<Next>, HostTrap> {
        self.ctx.grants.next.clone().ok_or(HostTrap::Below)
    }

    /// Counts a request to the layer below.
    ///
    /// # Errors
    /// The call has sent as many requests as it may.
    pub(crate) fn take_question(&mut self) -> Result<(), HostTrap> {
        self.questions = self.questions.checked_sub(1).ok_or(HostTrap::Questions)?;
        Ok(())
    }

    /// Records that a filter planned something that the layer below doesn't allow.
    pub(crate) fn blame_misuse(&mut self, misuse: Misuse) {
        self.blame(
            Cause::Range,
            match misuse {
                Misuse::Range => "the filter went outside the layer below",
                Misuse::Blocks => "the filter went off the blocks of the layer below",
                Misuse::Length => "the filter requested more than the layer below takes at once",
                Misuse::ReadOnly => "the filter wrote to a layer below that is read-only",
                Misuse::Changed => "a filter that changes bytes passed them on as they are",
            },
        );
    }

    /// The granted blob with the index `rep`, which its handle carries.
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
