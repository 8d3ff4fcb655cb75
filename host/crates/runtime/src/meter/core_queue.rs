//! The queue of a guest for its turn on the cores, if tenants share them (crate `fair-cores`).
//!
//! No clock counts the wait for a turn: not the call's CPU or wall clock, and not the request's. Others compute during
//! that time, and a call that the host stops halfway may cost its export the instance's memory.

use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use device::Deadline;
use device::metrics::Metrics;
use fair_cores::{CoreSlot, CoreTicket, CpuShare};
use tokio::task::yield_now;

use crate::meter::waits::Waits;

/// The place where one store's guest queues for the cores. It counts the waits.
#[derive(Clone, Debug)]
pub(crate) struct CoreQueue {
    share: Arc<CpuShare>,
    metrics: Arc<Metrics>,
    waits: Waits,
}

impl CoreQueue {
    /// Makes a queue that takes turns by `share`. It records waits in `metrics`, and in `waits`, so that the call's
    /// wall clock doesn't count them.
    pub(crate) fn new(share: &Arc<CpuShare>, metrics: &Arc<Metrics>, waits: &Waits) -> Self {
        Self {
            share: Arc::clone(share),
            metrics: Arc::clone(metrics),
            waits: waits.clone(),
        }
    }

    /// Waits for a slot on the cores, and then yields once. The yield lets tasks go first that need no slot: clients
    /// that have sent something, and calls that end before they meet a tick. The slot stays taken during the yield, so
    /// that others queue for it. The request's clock stops while this waits. Dropping the future is safe: it leaves the
    /// queue.
    pub(crate) async fn next(&self, request: Option<Deadline>) -> CoreSlot {
        let mut entering = self.share.enter();
        let at_once = poll_fn(|cx| Poll::Ready(Pin::new(&mut entering).poll(cx))).await;
        let slot = match at_once {
            Poll::Ready(slot) => slot,
            Poll::Pending => {
                let _others_compute = request.map(|request| request.stand_still());
                self.wait(entering).await
            }
        };
        yield_now().await;
        slot
    }

    async fn wait(&self, entering: CoreTicket) -> CoreSlot {
        let start = Instant::now();
        self.waits.enter();
        let slot = entering.await;
        self.waits.leave();
        self.metrics.core_waits.note(start.elapsed());
        slot
    }
}
