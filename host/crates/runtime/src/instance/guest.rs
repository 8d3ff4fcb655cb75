//! What the host keeps for one guest: the data of its store.

use std::sync::Arc;
use std::time::{Duration, Instant};

use blob::Blob;
use bytes::Bytes;
use device::ExportQuota;
use device::fault::{Cause, Failure};
use device::metrics::Metrics;
use device::peaks::Peaks;
use device::reply::ReadReply;
use extent_map::ExtentMap;
use nbd_proto::limits::MAX_STRING;
use nbdbox_config::limits::{DIRECT, HANDLES, Limits, PIECES, QUESTIONS};
use nbdbox_config::settings::Settings;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::abi::names::Names;
use crate::instance::log::{GuestLog, LogStream};
use crate::mapping::Draft;
use crate::meter::cpu::CpuMeter;
use crate::meter::memory::MemoryMeter;
use crate::meter::stop::Stop;
use crate::meter::turns::Turns;
use crate::meter::waits::Waits;
use crate::next::{Misuse, Next};

/// What all instances of an export share: what it was granted, and where its lines go.
#[derive(Debug)]
pub(crate) struct Surroundings {
    pub(crate) names: Names,
    pub(crate) settings: Settings,
    pub(crate) blobs: Vec<Blob>,
    pub(crate) limits: Limits,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) quota: Arc<ExportQuota>,
    pub(crate) log: Arc<GuestLog>,
    pub(crate) peaks: Peaks,
    /// What a filter stands on.
    pub(crate) next: Option<Arc<Next>>,
    /// A filter that says so: nothing of the layer below is passed on as it is.
    pub(crate) changes_bytes: bool,
}

/// What the current call lends to the guest.
#[derive(Debug, Default)]
pub(crate) enum Lent {
    #[default]
    Nothing,
    Read(Box<ReadReply>),
    Write(WritePlan),
    Extents(Box<ExtentMap>),
    Mapping(Draft),
}

/// A write: its bytes, and where the guest wants them.
#[derive(Debug, Default)]
pub(crate) struct WritePlan {
    pub(crate) payload: Bytes,
    pub(crate) stores: Vec<StorePiece>,
}

/// Bytes of the payload that go somewhere. The ranges were checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StorePiece {
    pub(crate) target: Target,
    pub(crate) offset: u64,
    pub(crate) start: usize,
    pub(crate) length: usize,
}

/// Where bytes of a payload go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Into a blob, by its index among those granted.
    Blob(u32),
    /// Into the layer below.
    Below,
}

/// The data of a store.
pub(crate) struct Guest {
    pub(crate) around: Arc<Surroundings>,
    pub(crate) memory: MemoryMeter,
    pub(crate) cpu: CpuMeter,
    pub(crate) lent: Lent,
    pub(crate) explained: Option<String>,
    /// The first rule that the current call broke without being stopped for it.
    blamed: Option<Failure>,
    handles: u32,
    /// Questions to the layer below that the current call may still ask.
    questions: u32,
    /// When the current call waits for others.
    pub(crate) waits: Waits,
    /// Calls to the host since the guest was entered: counted here first, where it costs nothing.
    host_calls: u64,
    /// The most handles so far.
    most_handles: u32,
    pub(crate) born: Instant,
    wasi: WasiCtx,
    table: ResourceTable,
}

impl Guest {
    pub(crate) fn new(around: Arc<Surroundings>) -> Self {
        let memory = MemoryMeter::new(
            around.limits.memory,
            Arc::clone(&around.quota.memory),
            Arc::clone(&around.metrics),
        );
        let waits = Waits::default();
        let share = around.quota.cpu.as_ref();
        let turns = share.map(|share| Turns::new(share, &around.metrics, &waits));
        // No preopens, no sockets, no environment, no arguments; what it prints is its log.
        let wasi = WasiCtx::builder()
            .stdout(LogStream(Arc::clone(&around.log)))
            .stderr(LogStream(Arc::clone(&around.log)))
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .max_random_size(DIRECT.into())
            .build();
        // WASI's handles live in the host's memory, of which nobody else keeps count.
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES as usize);
        around.metrics.instances.rise(1);
        Self {
            around,
            memory,
            cpu: CpuMeter::new(turns),
            lent: Lent::Nothing,
            explained: None,
            blamed: None,
            handles: 0,
            questions: 0,
            waits,
            host_calls: 0,
            most_handles: 0,
            born: Instant::now(),
            wasi,
            table,
        }
    }

    /// A call begins.
    pub(crate) fn begin(&mut self, lent: Lent) {
        self.lent = lent;
        self.explained = None;
        self.blamed = None;
        self.host_calls = 0;
        self.questions = QUESTIONS;
        self.waits.begin();
    }

    /// Takes note of what a call has taken, and of how long it had a thread.
    pub(crate) fn note_end(&self, ran: Duration) {
        let Surroundings { peaks, metrics, .. } = &*self.around;
        peaks.note(self.memory.held(), self.cpu.used(), self.most_handles);
        // 584 years.
        let nanoseconds = u64::try_from(ran.as_nanos()).unwrap_or(u64::MAX);
        metrics.guest_nanoseconds.add(nanoseconds);
    }

    /// A call has ended: what it was lent, unless it broke a rule.
    pub(crate) fn end(&mut self) -> Result<Lent, Failure> {
        let lent = std::mem::take(&mut self.lent);
        self.around.metrics.guest_calls.one();
        self.around.metrics.host_calls.add(self.host_calls);
        match self.blamed.take() {
            Some(failure) => Err(failure),
            None => Ok(lent),
        }
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
    pub(crate) fn take_handle(&mut self) -> Result<(), Stop> {
        if self.handles >= HANDLES {
            return Err(Stop::Handles);
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
    pub(crate) fn reply(&mut self) -> Result<&mut ReadReply, Stop> {
        match &mut self.lent {
            Lent::Read(reply) => Ok(reply),
            _ => Err(Stop::Handle),
        }
    }

    /// The plan of the current write.
    pub(crate) fn plan(&mut self) -> Result<&mut WritePlan, Stop> {
        match &mut self.lent {
            Lent::Write(plan) => Ok(plan),
            _ => Err(Stop::Handle),
        }
    }

    /// The map of the current report.
    pub(crate) fn extents(&mut self) -> Result<&mut ExtentMap, Stop> {
        match &mut self.lent {
            Lent::Extents(map) => Ok(map),
            _ => Err(Stop::Handle),
        }
    }

    /// What is told of where bytes are.
    pub(crate) fn draft(&mut self) -> Result<&mut Draft, Stop> {
        match &mut self.lent {
            Lent::Mapping(draft) => Ok(draft),
            _ => Err(Stop::Handle),
        }
    }

    /// The layer below, if this is a filter, and is open.
    pub(crate) fn next(&self) -> Result<Arc<Next>, Stop> {
        self.around.next.clone().ok_or(Stop::Below)
    }

    /// Counts a question to the layer below.
    pub(crate) fn take_question(&mut self) -> Result<(), Stop> {
        self.questions = self.questions.checked_sub(1).ok_or(Stop::Questions)?;
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
    pub(crate) fn blob(&self, rep: u32) -> Result<&Blob, Stop> {
        self.around.blobs.get(rep as usize).ok_or(Stop::Handle)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.around.metrics.instances.fall(1);
    }
}

impl WritePlan {
    /// Adds a piece; `false` when there are too many.
    pub(crate) fn store(&mut self, piece: StorePiece) -> bool {
        let room = self.stores.len() < PIECES;
        if room {
            self.stores.push(piece);
        }
        room
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
