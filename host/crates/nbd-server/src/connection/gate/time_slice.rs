//! A connection's time on the cores, if tenants share them (`fair_cores`).
//!
//! The host's work for a client is charged to the client's tenant, as the work of the tenant's guests is. The
//! connection times each poll of its task, which takes no lock, and the metrics show that time. When an export has
//! worked for a slice without a slot, or others of its tenant wait for a slot, its connections need one before they
//! begin requests. Only requests that haven't begun wait for it. Requests under way go on, because guests in them may
//! have slots of their own, and their time is charged afterwards.

use std::future::Future as _;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use device::metrics::Metrics;
use fair_cores::{CoreSlot, CoreTicket, CpuShare, SLICE, paid_here};
use tokio::task::yield_now;

/// The time slices of a connection, one after another. If tenants don't share the cores, nothing waits for one.
#[derive(Debug)]
pub(super) struct TimeSlice {
    metrics: Arc<Metrics>,
    began: Instant,
    shared: Option<Shared>,
}

#[derive(Debug)]
struct Shared {
    share: Arc<CpuShare>,
    leave: Leave,
    /// The time that guests on this thread had paid for when the poll began.
    paid: Duration,
}

/// Whether the connection may begin requests.
#[derive(Debug)]
enum Leave {
    /// The connection hasn't requested a slot.
    None,
    /// The connection queues for a slot, since this instant.
    Awaited(CoreTicket, Instant),
    /// The connection has a slot, but tasks that need none go first.
    InLine(CoreSlot),
    /// The connection may begin requests, with a slot or on credit.
    Given(Option<CoreSlot>),
}

impl TimeSlice {
    /// Slices of `share`, if there is one. `metrics` gets the time of all polls, and the waits for a slot.
    pub(super) fn new(share: Option<&Arc<CpuShare>>, metrics: &Arc<Metrics>) -> Self {
        Self {
            metrics: Arc::clone(metrics),
            began: Instant::now(),
            shared: share.map(|share| Shared {
                share: Arc::clone(share),
                leave: Leave::None,
                paid: Duration::ZERO,
            }),
        }
    }

    /// Begins to time a poll of the task, which counts from `since`.
    pub(super) fn begin(&mut self, since: Instant) {
        self.began = since;
        if let Some(shared) = &mut self.shared {
            shared.paid = paid_here();
        }
    }

    /// Whether requests may begin in this poll. If not, wakes the task when they may.
    pub(super) fn may_work(&mut self, cx: &mut Context<'_>) -> bool {
        let metrics = &self.metrics;
        self.shared
            .as_mut()
            .is_none_or(|shared| shared.may_work(metrics, cx))
    }

    /// Whether the poll has taken a slice, so that others get their turn.
    pub(super) fn is_over(&self) -> bool {
        self.shared.is_some() && self.began.elapsed() >= SLICE
    }

    /// Whether requests wait for a slot.
    pub(super) fn is_waiting(&self) -> bool {
        let waits = |shared: &Shared| matches!(shared.leave, Leave::Awaited(..) | Leave::InLine(_));
        self.shared.as_ref().is_some_and(waits)
    }

    /// Leaves the queue, and gives back a slot that no request has used yet, because none will begin for now.
    pub(super) fn give_up(&mut self) {
        if self.is_waiting()
            && let Some(shared) = &mut self.shared
        {
            shared.leave = Leave::None;
        }
    }

    /// Ends the timing of a poll: counts its time, and charges it to the share, if there is one.
    pub(super) fn end(&mut self) {
        let ran = self.began.elapsed();
        self.metrics.served.add(ran);
        if let Some(shared) = &mut self.shared {
            shared.end(ran);
        }
    }
}

impl Shared {
    fn may_work(&mut self, metrics: &Metrics, cx: &mut Context<'_>) -> bool {
        if let Leave::Given(_) = self.leave {
            return true;
        }
        self.leave = match std::mem::replace(&mut self.leave, Leave::None) {
            Leave::None if !self.share.must_queue() => Leave::Given(None),
            Leave::None => self.ask(cx),
            Leave::Awaited(mut entering, since) => match Pin::new(&mut entering).poll(cx) {
                Poll::Pending => Leave::Awaited(entering, since),
                Poll::Ready(place) => {
                    metrics.core_waits.note(since.elapsed());
                    stand_in_line(place, cx)
                }
            },
            Leave::InLine(place) => Leave::Given(Some(place)),
            given @ Leave::Given(_) => given,
        };
        matches!(self.leave, Leave::Given(_))
    }

    /// Requests a slot.
    fn ask(&self, cx: &mut Context<'_>) -> Leave {
        let mut entering = self.share.enter();
        match Pin::new(&mut entering).poll(cx) {
            Poll::Pending => Leave::Awaited(entering, Instant::now()),
            Poll::Ready(place) => stand_in_line(place, cx),
        }
    }

    fn end(&mut self, ran: Duration) {
        let paid = paid_here().saturating_sub(self.paid);
        match std::mem::replace(&mut self.leave, Leave::None) {
            // Guests have paid for their slices themselves.
            Leave::Given(Some(place)) => return place.less(paid),
            Leave::Given(None) => {}
            leave => self.leave = leave,
        }
        self.share.owe(ran.saturating_sub(paid));
    }
}

/// Lets tasks go first that need no slot, and lets those queue that have just got input: the runtime polls for input
/// before it wakes a task that yields.
fn stand_in_line(place: CoreSlot, cx: &mut Context<'_>) -> Leave {
    let yielded = pin!(yield_now()).poll(cx);
    debug_assert!(yielded.is_pending(), "the task is woken");
    Leave::InLine(place)
}
