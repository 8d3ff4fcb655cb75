//! Admission: bounds the requests and bytes that one connection has under way.

use std::sync::Arc;
use std::task::Context;

use nbdbox_config::limits::Limits;
use quota::{FlowQuota, FlowTicket};

use super::OVERHEAD;

/// Counts the requests of one connection from their parsing to the last byte of their reply.
///
/// A request that isn't admitted stays in the client's socket. A single request is always admitted, however
/// large: otherwise a client with small limits could never send it.
#[derive(Debug)]
pub(super) struct Admission {
    most_requests: usize,
    most_bytes: u64,
    requests: usize,
    bytes: u64,
    /// The connection's tickets for the flow of the export and for that of the tenant, in this order.
    turns: Vec<FlowTicket>,
    /// Bytes of the request that waits, and how many of `turns` have admitted it. It keeps those places
    /// while it queues at the next of `turns`.
    let_in: (u64, usize),
}

/// One request's permit. Give it back with [`Admission::leave`].
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub(in crate::connection) struct Permit(u64);

impl Admission {
    /// Admission for a connection with nothing under way. Its requests count towards `flows` too.
    #[must_use]
    pub(super) fn new(limits: &Limits, flows: [Option<&Arc<FlowQuota>>; 2]) -> Self {
        let turns = flows.into_iter().flatten().cloned().map(FlowTicket::new);
        Self {
            most_requests: limits.requests,
            most_bytes: limits.inflight,
            requests: 0,
            bytes: 0,
            turns: turns.collect(),
            let_in: (0, 0),
        }
    }

    /// Admits a request that will hold `bytes`. `None` if the request has to wait, either until a request of
    /// this connection leaves, or until this wakes the task at the connection's turn among others. Then the
    /// caller calls again for the same request.
    #[must_use]
    pub(super) fn enter(&mut self, bytes: u64, cx: &Context<'_>) -> Option<Permit> {
        let bytes = bytes.saturating_add(OVERHEAD);
        let sum = self.bytes.saturating_add(bytes);
        let fits = self.requests < self.most_requests && sum <= self.most_bytes;
        if !fits && self.requests > 0 {
            return None;
        }
        while let Some(turn) = self.turns.get_mut(self.let_in.1) {
            if !turn.enter(bytes, cx) {
                return None;
            }
            self.let_in = (bytes, self.let_in.1 + 1);
        }
        self.let_in = (0, 0);
        self.requests += 1;
        self.bytes = sum;
        Some(Permit(bytes))
    }

    /// Takes back the permit of a request that has ended.
    pub(super) fn leave(&mut self, permit: Permit) {
        self.requests -= 1;
        self.bytes -= permit.0;
        for turn in &mut self.turns {
            turn.leave(permit.0);
        }
    }

    /// Leaves the queues, so that no other connection waits behind a client that sends no more requests or
    /// doesn't read. A connection that calls [`enter`](Self::enter) later queues at their ends.
    pub(super) fn step_back(&mut self) {
        let (bytes, count) = std::mem::take(&mut self.let_in);
        for (index, turn) in self.turns.iter_mut().enumerate() {
            turn.give_up();
            if index < count {
                turn.leave(bytes);
            }
        }
    }

    /// Whether a request of this connection queues behind those of others.
    #[must_use]
    pub(super) fn is_queued(&self) -> bool {
        self.turns.iter().any(FlowTicket::is_queued)
    }

    /// Whether other connections wait for requests or bytes that this one has. If not, wakes the task when they
    /// do.
    #[must_use]
    pub(super) fn is_wanted(&mut self, cx: &Context<'_>) -> bool {
        let mut wanted = false;
        // No early return: each must be able to wake the task.
        for turn in &mut self.turns {
            wanted |= turn.is_wanted(cx);
        }
        wanted
    }

    /// Whether the connection has requests or bytes under way for which others could wait.
    #[must_use]
    pub(super) fn shares(&self) -> bool {
        self.requests > 0 && !self.turns.is_empty()
    }

    /// The number of requests under way.
    #[must_use]
    pub(super) fn requests(&self) -> usize {
        self.requests
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    fn admission(requests: usize, inflight: u64) -> Admission {
        let limits = Limits {
            requests,
            inflight,
            ..Limits::default()
        };
        Admission::new(&limits, [None; 2])
    }

    fn enter(admission: &mut Admission, bytes: u64) -> Option<Permit> {
        admission.enter(bytes, &Context::from_waker(Waker::noop()))
    }

    #[test]
    fn the_number_of_requests_is_bounded() {
        let mut admission = admission(2, 1 << 20);
        let first = enter(&mut admission, 0).unwrap();
        let _second = enter(&mut admission, 0).unwrap();
        assert_eq!(enter(&mut admission, 0), None);
        admission.leave(first);
        assert!(enter(&mut admission, 0).is_some());
    }

    #[test]
    fn bytes_are_bounded_but_one_request_always_fits() {
        let mut admission = admission(64, 1000);
        let large = enter(&mut admission, u64::MAX).unwrap();
        assert_eq!(enter(&mut admission, 0), None);
        admission.leave(large);
        let _small = enter(&mut admission, 400).unwrap();
        assert_eq!(enter(&mut admission, 400), None);
        assert_eq!(admission.requests(), 1);
    }

    #[test]
    fn connections_of_a_tenant_share_its_quota() {
        let flow = FlowQuota::new(1, 1 << 20);
        let limits = Limits::default();
        let mut one = Admission::new(&limits, [None, Some(&flow)]);
        let mut two = Admission::new(&limits, [None, Some(&flow)]);
        let first = enter(&mut one, 0).unwrap();
        assert_eq!(enter(&mut two, 0), None);
        assert!(two.is_queued());
        one.leave(first);
        assert!(enter(&mut two, 0).is_some());
        assert!(!two.is_queued());
    }

    #[test]
    fn a_request_that_waits_for_the_tenant_keeps_its_place_in_the_export() {
        let (export, tenant) = (FlowQuota::new(1, 1 << 20), FlowQuota::new(1, 1 << 20));
        let limits = Limits::default();
        let mut other = Admission::new(&limits, [None, Some(&tenant)]);
        let mut one = Admission::new(&limits, [Some(&export), Some(&tenant)]);
        let mut two = Admission::new(&limits, [Some(&export), Some(&tenant)]);
        let first = enter(&mut other, 0).unwrap();
        assert_eq!(enter(&mut one, 7), None);
        assert_eq!(enter(&mut one, 7), None, "called twice, counted once");
        assert_eq!(export.used(), (1, 7 + OVERHEAD));
        assert_eq!(
            enter(&mut two, 0),
            None,
            "for the export, not for the tenant"
        );
        other.leave(first);
        let permit = enter(&mut one, 7).unwrap();
        one.leave(permit);
        let permit = enter(&mut two, 0).unwrap();
        two.leave(permit);
        assert_eq!((export.used(), tenant.used()), ((0, 0), (0, 0)));
    }

    #[test]
    fn no_connection_waits_behind_one_that_steps_back() {
        let tenant = FlowQuota::new(1, 1 << 20);
        let limits = Limits::default();
        let admission = || Admission::new(&limits, [None, Some(&tenant)]);
        let (mut other, mut one, mut two) = (admission(), admission(), admission());
        let first = enter(&mut other, 0).unwrap();
        assert_eq!(enter(&mut one, 0), None);
        assert_eq!(enter(&mut two, 0), None);
        one.step_back();
        other.leave(first);
        let permit = enter(&mut two, 0).unwrap();
        assert_eq!(enter(&mut one, 0), None, "at the end of the queue");
        two.leave(permit);
        assert!(enter(&mut one, 0).is_some());
    }

    #[test]
    fn a_connection_that_steps_back_returns_the_places_that_it_had() {
        let (export, tenant) = (FlowQuota::new(1, 1 << 20), FlowQuota::new(1, 1 << 20));
        let limits = Limits::default();
        let mut other = Admission::new(&limits, [None, Some(&tenant)]);
        let _first = enter(&mut other, 0).unwrap();
        let mut one = Admission::new(&limits, [Some(&export), Some(&tenant)]);
        assert_eq!(enter(&mut one, 7), None);
        one.step_back();
        one.step_back();
        assert_eq!(export.used(), (0, 0));
        assert!(!one.is_queued());
    }
}
