//! A slot on the cores: requested, held, returned.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::CpuShare;

/// A future that resolves to a slot. If it's dropped, it leaves the queue, or returns the slot that it got.
#[derive(Debug)]
pub struct CoreTicket {
    share: Arc<CpuShare>,
    /// The ticket's number while it queues.
    ticket: Option<u64>,
}

/// Permission to run for a slice. If it's dropped, it is returned and paid for.
#[derive(Debug)]
pub struct CoreSlot {
    share: Arc<CpuShare>,
    since: Instant,
    /// The part of the time that others have paid for.
    less: Duration,
}

std::thread_local! {
    /// The time that guests ran on this thread with slots of their own.
    static PAID: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// The time that guests ran on this thread with slots of their own, since the thread began. Code that polls guests and
/// measures its time subtracts it.
#[must_use]
pub fn paid_here() -> Duration {
    PAID.get()
}

impl CoreTicket {
    pub(super) fn new(share: Arc<CpuShare>) -> Self {
        Self {
            share,
            ticket: None,
        }
    }
}

impl Future for CoreTicket {
    type Output = CoreSlot;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<CoreSlot> {
        let share = Arc::clone(&self.share);
        let id = share.id();
        let mut slots = share.cores().slots();
        let since = match self.ticket {
            Some(ticket) => slots.collect(id, ticket, cx.waker()),
            None => {
                slots.charge(id, share.take_owed());
                slots.take(id, Instant::now())
            }
        };
        let Some(since) = since else {
            if self.ticket.is_none() {
                self.ticket = Some(slots.queue_up(id, cx.waker()));
            }
            slots.check();
            return Poll::Pending;
        };
        slots.check();
        drop(slots);
        self.ticket = None;
        Poll::Ready(CoreSlot {
            share,
            since,
            less: Duration::ZERO,
        })
    }
}

impl Drop for CoreTicket {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            let id = self.share.id();
            let cores = self.share.cores();
            cores.change(|slots, now| slots.give_up(id, ticket, now));
        }
    }
}

impl CoreSlot {
    /// Ends a guest's slice, for which it had this thread for `time`.
    pub fn ran(self, time: Duration) {
        PAID.set(PAID.get().saturating_add(time));
    }

    /// Returns the slot; others have paid for `paid` of its time.
    pub fn less(mut self, paid: Duration) {
        self.less = paid;
    }
}

impl Drop for CoreSlot {
    fn drop(&mut self) {
        let (id, since, less) = (self.share.id(), self.since, self.less);
        self.share.cores().change(|slots, now| {
            let held = now.saturating_duration_since(since);
            slots.give_back(id, held.saturating_sub(less));
        });
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the test's own tasks")]
mod tests {
    use std::task::Waker;

    use tokio::task::{JoinSet, yield_now};

    use super::*;
    use crate::{Cores, CpuQuota, SLICE};

    fn poll(entering: &mut CoreTicket) -> Option<CoreSlot> {
        let mut cx = Context::from_waker(Waker::noop());
        match Pin::new(entering).poll(&mut cx) {
            Poll::Ready(slot) => Some(slot),
            Poll::Pending => None,
        }
    }

    /// Tenants with one export each.
    fn tenants(cores: usize, count: usize) -> Vec<Arc<CpuShare>> {
        let cores = Cores::new(cores);
        let share = |_| CpuShare::new(&CpuQuota::new(&cores, 100), 100);
        (0..count).map(share).collect()
    }

    #[test]
    fn a_slot_that_its_ticket_gives_up_goes_to_the_next() {
        let share = tenants(1, 1).remove(0);
        let held = poll(&mut share.enter()).unwrap();
        let (mut first, mut second, mut third) = (share.enter(), share.enter(), share.enter());
        assert!(poll(&mut first).is_none());
        assert!(poll(&mut second).is_none());
        assert!(poll(&mut third).is_none());
        assert!(share.is_crowded());
        drop(second);
        drop(held);
        // The first ticket has the slot now, and gives up.
        drop(first);
        let slot = poll(&mut third).unwrap();
        assert!(!share.is_crowded());
        assert!(poll(&mut share.enter()).is_none());
        drop(slot);
        assert!(poll(&mut share.enter()).is_some());
    }

    #[test]
    fn a_removed_export_leaves_nothing_behind() {
        let cores = Cores::new(1);
        let tenant = CpuQuota::new(&cores, 100);
        let (one, two) = (CpuShare::new(&tenant, 100), CpuShare::new(&tenant, 100));
        let held = poll(&mut two.enter()).unwrap();
        let mut waits = one.enter();
        assert!(poll(&mut waits).is_none());
        drop(waits);
        drop(one);
        assert!(!two.is_crowded());
        drop(held);
        assert!(poll(&mut two.enter()).is_some());
    }

    #[test]
    fn after_a_slice_without_a_slot_an_export_needs_one_and_pays() {
        let shares = tenants(1, 2);
        shares[0].owe(SLICE / 2);
        assert!(!shares[0].must_queue());
        shares[0].owe(SLICE * 10);
        assert!(shares[0].must_queue());
        let held = poll(&mut shares[1].enter()).unwrap();
        let (mut first, mut second) = (shares[0].enter(), shares[1].enter());
        assert!(poll(&mut first).is_none());
        assert!(poll(&mut second).is_none());
        assert_eq!(shares[0].take_owed(), Duration::ZERO, "it's charged");
        drop(held);
        assert!(poll(&mut first).is_none(), "it had ten slices more");
        assert!(poll(&mut second).is_some());
    }

    /// A guest that computes for some slices. It gives up every third ticket, before or after it gets its slot, as if
    /// its client hung up.
    async fn compute(share: Arc<CpuShare>, seed: u64) {
        for slice in 0..50 {
            let mut entering = share.enter();
            if (seed + slice).is_multiple_of(3) {
                let _ = poll(&mut entering);
                yield_now().await;
                drop(entering);
                continue;
            }
            let slot = entering.await;
            yield_now().await;
            drop(slot);
        }
    }

    /// Doesn't end if a waiting guest is forgotten.
    async fn all_come_to_their_end(workers: usize) {
        let shares = tenants(workers, 20);
        let mut guests = JoinSet::new();
        for (tenant, share) in (0..).zip(&shares) {
            for guest in 0..5 {
                guests.spawn(compute(Arc::clone(share), tenant + guest));
            }
        }
        while let Some(ended) = guests.join_next().await {
            ended.unwrap();
        }
        let all: Vec<_> = shares[..workers]
            .iter()
            .map(|share| poll(&mut share.enter()).unwrap())
            .collect();
        assert!(poll(&mut shares[0].enter()).is_none(), "no slot too many");
        drop(all);
        assert!(shares.iter().all(|share| !share.is_crowded()));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn on_one_thread_everybody_has_their_turns() {
        all_come_to_their_end(1).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn on_four_threads_everybody_has_their_turns() {
        all_come_to_their_end(4).await;
    }

    #[tokio::test(flavor = "current_thread")]
    async fn the_task_that_polled_last_is_the_one_that_is_woken() {
        let share = tenants(1, 1).remove(0);
        let held = poll(&mut share.enter()).unwrap();
        let mut entering = share.enter();
        assert!(
            poll(&mut entering).is_none(),
            "polled by a task that sleeps for ever"
        );
        let waits = tokio::spawn(entering);
        yield_now().await;
        drop(held);
        let slot = tokio::time::timeout(Duration::from_secs(60), waits).await;
        assert!(slot.unwrap().is_ok());
    }
}
