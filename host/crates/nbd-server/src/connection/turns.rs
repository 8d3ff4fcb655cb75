//! The turns of a handshake on the cores.
//!
//! A client may send many options before it chooses an export. After each step of its handshake the other tasks of its
//! thread get their turn. If tenants share the cores, the time of all handshakes is charged: to the share of the
//! client's listener, and as soon as the client has found an export, to the share of that export. A share that has had
//! a slice queues before the next step, as guests and requests do.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use fair_cores::{CpuShare, paid_here};
use tokio::task::yield_now;

/// The turns of one handshake.
#[derive(Debug)]
pub(super) struct Turns {
    listener: Option<Arc<CpuShare>>,
    export: OnceLock<Arc<CpuShare>>,
}

impl Turns {
    /// Turns whose time is charged to this share. Without a share nothing is charged.
    pub(super) fn new(listener: Option<Arc<CpuShare>>) -> Self {
        Self {
            listener,
            export: OnceLock::new(),
        }
    }

    /// Charges all further time to the share of an export that the client has found. Only the first export counts, so
    /// a client can't spread its time over several.
    pub(super) fn charge_to(&self, export: Option<&Arc<CpuShare>>) {
        if let Some(share) = export {
            // This fails if an earlier export is set, which stays.
            let _ = self.export.set(Arc::clone(share));
        }
    }

    fn share(&self) -> Option<&Arc<CpuShare>> {
        self.export.get().or(self.listener.as_ref())
    }

    /// Waits for the turn of the next step. Dropping the future is safe.
    pub(super) async fn next(&self) {
        let slot = match self.share() {
            // The slot is dropped before the step: `charged` charges the step's time, which counts at the next turn.
            Some(share) if share.must_queue() => Some(share.enter().await),
            _ => None,
        };
        drop(slot);
        yield_now().await;
    }

    /// Runs a handshake, and charges the time that its polls take, except what guests on this thread paid themselves.
    /// Dropping the future drops `work`.
    pub(super) async fn charged<F: Future>(&self, work: F) -> F::Output {
        let mut work = pin!(work);
        poll_fn(|cx| {
            let (began, paid) = (Instant::now(), paid_here());
            let polled = work.as_mut().poll(cx);
            if let Some(share) = self.share() {
                let paid = paid_here().saturating_sub(paid);
                share.owe(began.elapsed().saturating_sub(paid));
            }
            polled
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use fair_cores::{Cores, CpuQuota, SLICE};
    use futures_util::FutureExt as _;

    use super::*;

    fn share(cores: &Arc<Cores>) -> Arc<CpuShare> {
        CpuShare::new(&CpuQuota::new(cores, 100), 100)
    }

    fn compute() {
        let began = Instant::now();
        while began.elapsed() < SLICE {
            black_box(());
        }
    }

    #[tokio::test]
    async fn a_handshake_is_charged_to_the_listener_until_an_export_is_found() {
        let cores = Cores::new(1);
        let (listener, export, other) = (share(&cores), share(&cores), share(&cores));
        let turns = Turns::new(Some(Arc::clone(&listener)));
        turns.charged(async { compute() }).await;
        assert!(listener.must_queue());
        turns.charge_to(Some(&export));
        turns.charge_to(Some(&other));
        turns.charged(async { compute() }).await;
        assert!(export.must_queue() && !other.must_queue());
    }

    #[tokio::test]
    async fn a_step_waits_while_another_share_has_the_cores() {
        let cores = Cores::new(1);
        let (listener, tenant) = (share(&cores), share(&cores));
        let turns = Turns::new(Some(Arc::clone(&listener)));
        let held = tenant.enter().await;
        turns.next().await;
        listener.owe(SLICE);
        let mut next = pin!(turns.next());
        for _ in 0..10 {
            assert!(next.as_mut().now_or_never().is_none());
        }
        drop(held);
        next.await;
    }
}
