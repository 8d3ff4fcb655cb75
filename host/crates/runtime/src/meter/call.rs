//! The meters of one guest call: its CPU time, its wall time, and the waits that count as neither.
//!
//! The store holds a [`Call`], which charges the guest and stops it. The caller that polls the guest's call holds its
//! [`Clocks`], which see each poll begin and end. A host function that waits gives a reason ([`WaitsFor`]). Only this
//! file decides which clocks stop during such a wait.

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

/// What a guest waits for in a host function, and so which clocks stop meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitsFor {
    /// A granted blob. The time that the operator's disk takes isn't the guest's: both clocks of this call stop, and so
    /// does the request's. The guest pays with CPU time for what the host computes without waiting.
    Blob,
    /// A pause that the guest requested. The call's CPU clock stops; its wall clock and the request's go on.
    Pause,
    /// The layer below, whose calls have clocks of their own. Both clocks of this call stop. The request's goes on.
    LayerBelow,
}

impl WaitsFor {
    /// Whether the call's wall clock stops during the wait.
    const fn stops_the_wall(self) -> bool {
        matches!(self, Self::LayerBelow | Self::Blob)
    }

    /// Whether the request's clock stops during the wait. It goes on while the layer below works.
    const fn stops_the_request(self) -> bool {
        matches!(self, Self::Blob)
    }

    /// Whether the first poll already runs another guest on this thread.
    const fn runs_others(self) -> bool {
        matches!(self, Self::LayerBelow)
    }
}

/// The meters of a store's current call, as the store sees them.
#[derive(Debug)]
pub(crate) struct Call {
    cpu: CpuMeter,
    waits: Waits,
    /// The deadline of the request that the call serves; `None` between calls, and for a call that serves none.
    request: Option<Deadline>,
    /// Holds the request's clock still during a wait.
    standstill: Option<Standstill>,
}

impl Call {
    /// Makes the meters of a store. `share` is the export's share of the cores, if tenants share them.
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

    /// Begins a call with `budget` of CPU time. `request` is the deadline of the request that it serves, if it serves
    /// one.
    pub(crate) fn begin(&mut self, budget: Duration, request: Option<&Deadline>) {
        self.cpu.begin(budget);
        self.waits.begin();
        self.request = request.cloned();
    }

    /// Ends the call: nothing works for its request any more.
    pub(crate) fn end(&mut self) {
        self.request = None;
    }

    /// The deadline of the request that the call serves.
    pub(crate) fn request(&self) -> Option<&Deadline> {
        self.request.as_ref()
    }

    /// CPU time that the call was charged so far. Up to a tick of 1 ms is missing, because a call is charged when it
    /// meets a tick or waits.
    pub(crate) fn used(&self) -> Duration {
        self.cpu.used()
    }

    /// Clocks for the caller that polls this store's calls.
    pub(crate) fn clocks(&self) -> Clocks {
        Clocks {
            slice: self.cpu.slice().clone(),
            waits: self.waits.clone(),
        }
    }

    /// Charges the guest for the slice that ends with this tick, and makes it yield. Called when the guest meets a
    /// tick.
    ///
    /// # Errors
    /// The call has used up its CPU time.
    pub(crate) fn tick(&mut self) -> wasmtime::Result<UpdateDeadline> {
        self.cpu.tick(self.request.clone())
    }

    /// Called before a host function waits.
    ///
    /// # Errors
    /// The call has used up its CPU time, so it may not wait.
    pub(crate) fn wait_begins(&mut self, wait: WaitsFor) -> Result<(), HostTrap> {
        if wait.runs_others() {
            self.give_up_thread(wait);
        }
        self.cpu.check()
    }

    /// Called when the first poll of a wait returned pending.
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

    /// Called when the wait is over. `pending` tells whether it ever was pending.
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
        // Measures from here on: the guest may wait again before it meets a tick.
        self.cpu.resume();
        self.cpu.check()
    }
}

/// The clocks of a store's calls, for the caller that polls them. Clones are of the same store.
#[derive(Clone, Debug)]
pub(crate) struct Clocks {
    slice: Slice,
    waits: Waits,
}

/// How a call ended.
pub(crate) struct Ended<T> {
    /// What the call returned; `None` if its wall time was up. Then the caller must drop the call and its store.
    pub(crate) output: Option<T>,
    /// The time that it had a thread, by the wall clock. The thread's own clock takes a system call to read, which
    /// costs more than a short call does.
    pub(crate) ran: Duration,
}

impl Clocks {
    /// Runs a guest call for at most `wall`, not counting the waits that stop its wall clock. The call stays where the
    /// caller pinned it: a move would copy kilobytes, once for each function on the way. If the future is dropped
    /// before its end, the store can't be used again.
    ///
    /// Most calls end at the first poll. Only the others get a timer, which costs as much as a short call.
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

    /// Continues a call whose first poll returned pending. Returns `None` when `wall` is up.
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

    /// Polls the guest once. A slice ends whenever the guest waits: from then on the thread works for others, and
    /// another thread may continue the guest.
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
