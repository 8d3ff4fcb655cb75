//! A guest's turns on the cores, where tenants share them (`quota::cores`).
//!
//! Waiting for one is none of the guest's time, neither of CPU nor on the clock, nor of its request's: others compute,
//! and a call that is stopped half-way may cost its export what it remembers.

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

/// Where one store's guest waits for its turns, and who is told of it.
#[derive(Clone, Debug)]
pub(crate) struct CoreQueue {
    share: Arc<CpuShare>,
    metrics: Arc<Metrics>,
    waits: Waits,
}

impl CoreQueue {
    /// Turns by `share`. Waits are noted in `metrics`, and in `waits` as no time of the call.
    pub(crate) fn new(share: &Arc<CpuShare>, metrics: &Arc<Metrics>, waits: &Waits) -> Self {
        Self {
            share: Arc::clone(share),
            metrics: Arc::clone(metrics),
            waits: waits.clone(),
        }
    }

    /// Waits for leave to run. Then others go first who need none: clients that have sent something, and
    /// calls that end before they meet a tick. Whoever has leave stands in line for a thread with it, and
    /// so the others wait for it.
    pub(crate) async fn next(&self, request: Option<Deadline>) -> CoreSlot {
        let mut entering = self.share.enter();
        let at_once = poll_fn(|cx| Poll::Ready(Pin::new(&mut entering).poll(cx))).await;
        let place = match at_once {
            Poll::Ready(place) => place,
            Poll::Pending => {
                let _others_compute = request.map(|request| request.stand_still());
                self.wait(entering).await
            }
        };
        yield_now().await;
        place
    }

    async fn wait(&self, entering: CoreTicket) -> CoreSlot {
        let start = Instant::now();
        self.waits.enter();
        let place = entering.await;
        self.waits.leave();
        self.metrics.core_waits.note(start.elapsed());
        place
    }
}
