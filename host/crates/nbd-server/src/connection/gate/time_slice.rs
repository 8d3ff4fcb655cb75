//! A connection's time on the cores, where tenants share them (`fair_cores`).
//!
//! What the host does for a client is charged to its tenant, as what the tenant's guests compute is. Each poll of
//! the connection's task is timed, which costs no lock, and is shown to the operator. When an export has had a slice's time without a place, or
//! others of its tenant wait for one, its connections need a place before they begin requests. Only requests that
//! have yet to begin wait for it. What is under way goes on, since guests in it may have places of their own, and
//! is charged afterwards.

use std::future::Future as _;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use device::metrics::Metrics;
use fair_cores::{CoreSlot, CoreTicket, CpuShare, SLICE, paid_here};
use tokio::task::yield_now;

/// A connection's time slice, one after another. Where the cores aren't shared nothing waits for one.
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
    /// What guests on this thread had paid for when it began.
    paid: Duration,
}

#[derive(Debug)]
enum Leave {
    /// None is asked for.
    None,
    /// It's asked for, since then.
    Awaited(CoreTicket, Instant),
    /// It's here, but others who need none go first.
    InLine(CoreSlot),
    /// Work goes on, with a place or on credit.
    Given(Option<CoreSlot>),
}

impl TimeSlice {
    /// Slices of `share`, if there is one; how long they are, and waits for a place, is noted in `metrics`.
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

    /// The task is polled.
    pub(super) fn begin(&mut self) {
        self.began = Instant::now();
        if let Some(shared) = &mut self.shared {
            shared.paid = paid_here();
        }
    }

    /// Whether requests may begin in this poll; else the task is woken when they may.
    pub(super) fn may_work(&mut self, cx: &mut Context<'_>) -> bool {
        let metrics = &self.metrics;
        self.shared
            .as_mut()
            .is_none_or(|shared| shared.may_work(metrics, cx))
    }

    /// Whether it's time for others.
    pub(super) fn is_over(&self) -> bool {
        self.shared.is_some() && self.began.elapsed() >= SLICE
    }

    /// Whether requests wait for a place.
    pub(super) fn is_waiting(&self) -> bool {
        let waits = |shared: &Shared| matches!(shared.leave, Leave::Awaited(..) | Leave::InLine(_));
        self.shared.as_ref().is_some_and(waits)
    }

    /// No requests will begin for now: waits no longer, and gives back what it got.
    pub(super) fn give_up(&mut self) {
        if self.is_waiting()
            && let Some(shared) = &mut self.shared
        {
            shared.leave = Leave::None;
        }
    }

    /// The poll ends.
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

    /// Asks for a place.
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
            // Guests paid for their slices themselves.
            Leave::Given(Some(place)) => return place.less(paid),
            Leave::Given(None) => {}
            leave => self.leave = leave,
        }
        self.share.owe(ran.saturating_sub(paid));
    }
}

/// Lets others go first who need no place, and those who have just been heard of queue up: the runtime looks
/// for them before it wakes a task that yields.
fn stand_in_line(place: CoreSlot, cx: &mut Context<'_>) -> Leave {
    let yielded = pin!(yield_now()).poll(cx);
    debug_assert!(yielded.is_pending(), "the task is woken");
    Leave::InLine(place)
}
