//! One guest call as it is metered: CPU time, the time that it waits for others, time on the wall.
//!
//! The store holds a [`Call`], which charges, and stops the guest. Whoever polls the guest's call holds its [`Clocks`],
//! which see each poll begin and end. A host function that waits says for whom ([`WaitsFor`]); which of the clocks
//! stand meanwhile is decided here and nowhere else.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use device::metrics::Metrics;
use device::{Deadline, Standstill};
use fair_cores::CpuShare;
use tokio::time::timeout;
use wasmtime::UpdateDeadline;

use crate::meter::core_queue::CoreQueue;
use crate::meter::cpu::{CpuMeter, Slice};
use crate::meter::host_trap::HostTrap;
use crate::meter::waits::Waits;

/// What a guest waits for in a host function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitsFor {
    /// A granted blob. How long the operator's disk takes is no time of the guest's: both clocks of this call stand,
    /// and the request's. What the host computes for it without waiting is the guest's CPU time.
    Blob,
    /// A pause that the guest asked for. Time on the wall goes on.
    Pause,
    /// The layer below, whose calls have clocks of their own: both clocks of this call stand, and the request's goes
    /// on.
    LayerBelow,
}

impl WaitsFor {
    /// Whether the call's own time on the wall stands meanwhile.
    const fn stops_the_wall(self) -> bool {
        matches!(self, Self::LayerBelow | Self::Blob)
    }

    /// Whether the request's time stands meanwhile: in the layer below it goes on.
    const fn stops_the_request(self) -> bool {
        matches!(self, Self::Blob)
    }

    /// Whether the others compute as soon as they are asked, on this thread.
    const fn runs_others(self) -> bool {
        matches!(self, Self::LayerBelow)
    }
}

/// The meters of a store's current call, as the store sees them.
#[derive(Debug)]
pub(crate) struct Call {
    cpu: CpuMeter,
    waits: Waits,
    /// What is left to the request that is worked for.
    request: Option<Deadline>,
    /// While the request's time stands.
    standstill: Option<Standstill>,
}

impl Call {
    /// Meters for a store that takes turns by `share` with others, where there is one.
    pub(crate) fn new(share: Option<&Arc<CpuShare>>, metrics: &Arc<Metrics>) -> Self {
        let waits = Waits::default();
        let turns = share.map(|share| CoreQueue::new(share, metrics, &waits));
        let cpu = CpuMeter::new(turns);
        Self {
            cpu,
            waits,
            request: None,
            standstill: None,
        }
    }

    /// A call begins, which may use `budget` of CPU time, for a request to which so much is left, if it's for one.
    pub(crate) fn begin(&mut self, budget: Duration, request: Option<&Deadline>) {
        self.cpu.begin(budget);
        self.waits.begin();
        self.request = request.cloned();
    }

    /// The call has ended: nothing works for its request any more.
    pub(crate) fn end(&mut self) {
        self.request = None;
    }

    /// What is left to the request that is worked for.
    pub(crate) fn request(&self) -> Option<&Deadline> {
        self.request.as_ref()
    }

    /// The CPU time that the call was charged so far, to a millisecond.
    pub(crate) fn used(&self) -> Duration {
        self.cpu.used()
    }

    /// What this store's calls are polled with.
    pub(crate) fn clocks(&self) -> Clocks {
        Clocks {
            slice: self.cpu.slice().clone(),
            waits: self.waits.clone(),
        }
    }

    /// The guest met a tick: charges it, and lets others run.
    ///
    /// # Errors
    /// The call's CPU time is used up.
    pub(crate) fn tick(&mut self) -> wasmtime::Result<UpdateDeadline> {
        self.cpu.tick(self.request.clone())
    }

    /// A host function is about to wait.
    ///
    /// # Errors
    /// The call's CPU time is used up: there is nothing left to wait for.
    pub(crate) fn wait_begins(&mut self, wait: WaitsFor) -> Result<(), HostTrap> {
        if wait.runs_others() {
            self.give_up_thread(wait);
        }
        self.cpu.check()
    }

    /// It really waits: what it waits for wasn't ready at once.
    pub(crate) fn wait_is_pending(&mut self, wait: WaitsFor) {
        if !wait.runs_others() {
            self.give_up_thread(wait);
        }
    }

    fn give_up_thread(&mut self, wait: WaitsFor) {
        self.cpu.charge();
        if wait.stops_the_wall() {
            self.waits.enter();
        }
        if wait.stops_the_request() {
            self.standstill = self.request.as_ref().map(Deadline::stand_still);
        }
    }

    /// It has waited; `pending`: really.
    ///
    /// # Errors
    /// As [`wait_begins`](Self::wait_begins).
    pub(crate) fn wait_ends(&mut self, wait: WaitsFor, pending: bool) -> Result<(), HostTrap> {
        if !pending && !wait.runs_others() {
            return Ok(());
        }
        self.standstill = None;
        if wait.stops_the_wall() {
            self.waits.leave();
        }
        // From here on what it runs is measured, since it may wait again before it meets a tick.
        self.cpu.resume();
        self.cpu.check()
    }
}

/// The clocks of a store's calls, shared with whoever polls them.
#[derive(Clone, Debug)]
pub(crate) struct Clocks {
    slice: Slice,
    waits: Waits,
}

/// How a call ended.
pub(crate) struct Ended<T> {
    /// What it returned; `None` if its time on the wall was up. Then it must be dropped, and its store with it.
    pub(crate) output: Option<T>,
    /// How long it had a thread, on the wall's clock: reading the thread's own is a system call, which costs more than
    /// a short call does.
    pub(crate) ran: Duration,
}

impl Clocks {
    /// Runs a guest call for `wall` at most; what others take of that isn't the call's. The call stays where its
    /// caller pinned it: moving it would copy kilobytes, once for each function on the way.
    ///
    /// Most calls end without waiting at all: the timer, which costs as much as a short call, is only made for
    /// those that don't.
    pub(crate) async fn run<F: Future>(
        &self,
        wall: Duration,
        mut call: Pin<&mut F>,
    ) -> Ended<F::Output> {
        let mut ran = Duration::ZERO;
        let mut poll = |cx: &mut Context<'_>| self.poll(&mut ran, call.as_mut(), cx);
        let at_once = poll_fn(|cx| Poll::Ready(poll(cx))).await;
        let output = match at_once {
            Poll::Ready(done) => Some(done),
            Poll::Pending => self.wait(wall, poll).await,
        };
        Ended { output, ran }
    }

    /// Goes on with a call that has begun to wait.
    async fn wait<T>(
        &self,
        wall: Duration,
        poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Option<T> {
        let start = Instant::now();
        let mut call = pin!(poll_fn(poll));
        let mut left = wall;
        loop {
            if let Ok(done) = timeout(left, call.as_mut()).await {
                return Some(done);
            }
            let own = start.elapsed().saturating_sub(self.waits.so_far());
            left = wall.checked_sub(own).filter(|left| !left.is_zero())?;
        }
    }

    /// Lets the guest have the thread once. Whenever it waits its slice is over: what the thread does meanwhile, and
    /// which thread goes on with it, is others' affair.
    fn poll<F: Future>(
        &self,
        ran: &mut Duration,
        call: Pin<&mut F>,
        cx: &mut Context<'_>,
    ) -> Poll<F::Output> {
        let start = Instant::now();
        let polled = call.poll(cx);
        *ran += start.elapsed();
        self.slice.end(polled.is_pending());
        polled
    }
}
