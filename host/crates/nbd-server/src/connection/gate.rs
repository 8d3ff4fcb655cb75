//! Decides whether a connection may begin another request, and when its go is over so that others get their turn.
//!
//! A *go* is one poll of the connection's task. It consists of *rounds*. In a round requests begin, replies are sent,
//! and more requests are read. These are all rules that keep connections fair to each other and to their server:
//!
//! | rule | whom it restrains | if it were smaller | if it were larger |
//! |---|---|---|---|
//! | [`ROUNDS`] in a go | a client that always has another request ready | the task would be queued and woken for little work | the other connections of this thread would wait for `ROUNDS` × `BATCH` requests |
//! | [`BATCH`] requests in a round | a client that sends many requests at once | each system call would send few replies | the client would idle while the server makes replies, and these would have left the processor's cache before they are sent |
//! | [`BACKLOG`] of unsent replies | a client that doesn't read its replies | the server would send large reads one at a time, and begin nothing else meanwhile | replies would leave the processor's cache, and stay in memory for a client that may never read them |
//! | [`WAIT_BUDGET`] in a go | a connection whose requests each compute for a tick before they yield | few requests that wait for a disk would be under way together | the other connections of this thread would wait for a tick per request |
//! | time slice: [`SLICE`](fair_cores::SLICE), if tenants share the cores | a tenant whose connections send requests without end | connections would take the lock of the cores too often | the other tenants would wait for that time |
//! | admission: `requests` and `inflight` of the connection, the export and the tenant, with [`OVERHEAD`] | a connection with much under way, which is held in memory | the device would have too little to do | the server's memory would be exhausted |
//!
//! How they combine:
//!
//! - A request begins if all rules allow it. The order of the checks is wait budget and batch, backlog, time slice,
//!   admission. So no connection holds a slot on the cores, or a permit of the admission, for a request that another
//!   rule delays.
//! - A go is over when the rounds, the wait budget or the time slice are used up. The task then wakes itself, and
//!   queues behind the others of its thread. A go without progress ends earlier, and the event that it waits for wakes
//!   the task.
//! - Connections queue with each other for a time slice and for admission. A connection whose client doesn't read, or
//!   that begins no more requests, [leaves these queues](Gate::step_back), so no other waits behind it.
//! - The rules never delay requests that have begun: the connection always collects and sends their replies.
//! - When the server stops, neither backlog nor time slice delays the requests that were read, so that the connection
//!   ends soon.

mod admission;
mod time_slice;
mod wait_budget;

use std::sync::Arc;
use std::task::Context;
use std::time::{Duration, Instant};

use device::metrics::Metrics;
use fair_cores::CpuShare;
use nbdbox_config::limits::Limits;
use quota::FlowQuota;

pub(super) use admission::Permit;

use admission::Admission;
use time_slice::TimeSlice;
use wait_budget::WaitBudget;

/// Rounds in one go.
const ROUNDS: u32 = 16;

/// Requests that begin in one round.
const BATCH: u32 = 32;

/// Bytes of unsent replies beyond which no request begins.
const BACKLOG: usize = 256 << 10;

/// Time from the first request of a go that waits to the last. A guest that computes runs for a tick (1 ms) before it
/// yields. A request that waits for a disk takes a few microseconds before it waits.
const WAIT_BUDGET: Duration = Duration::from_micros(500);

/// Bytes that each request counts in addition to its data, for the memory that describes it.
const OVERHEAD: u64 = 256;

/// The rules for one connection, and what the connection has used up of each.
#[derive(Debug)]
pub(super) struct Gate {
    admission: Admission,
    slice: TimeSlice,
    waits: WaitBudget,
    /// Rounds of this go, including the current one.
    rounds: u32,
    /// Requests that began in this round.
    begun: u32,
    /// When the request that waits for admission began to wait.
    held_up: Option<Instant>,
    metrics: Arc<Metrics>,
}

impl Gate {
    /// A gate for a connection with nothing under way. Requests count towards `flows` too: those of the export and of
    /// the tenant. Their time is charged to `cpu`, if given. `metrics` gets the waits.
    pub(super) fn new(
        limits: &Limits,
        flows: [Option<&Arc<FlowQuota>>; 2],
        cpu: Option<&Arc<CpuShare>>,
        metrics: &Arc<Metrics>,
    ) -> Self {
        Self {
            admission: Admission::new(limits, flows),
            slice: TimeSlice::new(cpu, metrics),
            waits: WaitBudget::default(),
            rounds: 0,
            begun: 0,
            held_up: None,
            metrics: Arc::clone(metrics),
        }
    }

    /// Begins a go, whose time counts from `since`.
    pub(super) fn begin_go(&mut self, since: Instant) {
        self.slice.begin(since);
        self.waits = WaitBudget::default();
        self.rounds = 0;
    }

    /// Begins a round.
    pub(super) fn begin_round(&mut self) {
        self.rounds += 1;
        self.begun = 0;
    }

    /// Whether batch and wait budget allow another request in this round.
    pub(super) fn has_room(&self) -> bool {
        self.begun < BATCH && !self.waits.is_over()
    }

    /// Whether `unsent` bytes of replies delay the next request.
    pub(super) fn is_backed_up(unsent: usize) -> bool {
        unsent > BACKLOG
    }

    /// Whether the time slice allows the next request, which the connection has read. If not, wakes the task when it
    /// does.
    pub(super) fn has_time(&mut self, cx: &mut Context<'_>) -> bool {
        self.slice.may_work(cx)
    }

    /// Admits a request that will hold this number of bytes. `None` if the request has to wait, either until a request
    /// of this connection leaves, or until this wakes the task at the connection's turn. Then call again for the same
    /// request.
    pub(super) fn enter(&mut self, bytes: u64, cx: &Context<'_>) -> Option<Permit> {
        let permit = self.admission.enter(bytes, cx);
        if permit.is_none() {
            self.held_up.get_or_insert_with(Instant::now);
        } else if let Some(since) = self.held_up.take() {
            self.metrics.admission_waits.note(since.elapsed());
        }
        permit
    }

    /// Counts a request that has begun.
    pub(super) fn note_begun(&mut self) {
        self.begun += 1;
    }

    /// Notes that a request didn't end at its first poll.
    pub(super) fn note_wait(&mut self, now: Instant) {
        self.waits.note(now, WAIT_BUDGET);
    }

    /// Takes back the permit of a request whose reply was sent, or was lost because the client is gone.
    pub(super) fn leave(&mut self, permit: Permit) {
        self.admission.leave(permit);
    }

    /// Leaves the queue for a time slice, and gives back a slot that no request has used yet.
    pub(super) fn give_up_core(&mut self) {
        self.slice.give_up();
    }

    /// Leaves all queues. A connection that calls [`has_time`](Self::has_time) or [`enter`](Self::enter) later queues
    /// at their ends.
    pub(super) fn step_back(&mut self) {
        self.admission.step_back();
        self.slice.give_up();
    }

    /// Whether the connection has a request under way, or one that waits to begin.
    pub(super) fn is_busy(&self) -> bool {
        self.admission.requests() > 0 || self.admission.is_queued() || self.slice.is_waiting()
    }

    /// Whether the connection has requests or bytes under way for which others could wait.
    pub(super) fn shares(&self) -> bool {
        self.admission.shares()
    }

    /// Whether other connections wait for requests or bytes that this one has. If not, wakes the task when they do.
    pub(super) fn is_wanted(&mut self, cx: &Context<'_>) -> bool {
        self.admission.is_wanted(cx)
    }

    /// Whether the go must end, because it is the turn of other connections.
    pub(super) fn is_go_over(&self) -> bool {
        self.rounds >= ROUNDS || self.waits.is_over() || self.slice.is_over()
    }

    /// Ends a go, and charges its time.
    pub(super) fn end_go(&mut self) {
        self.slice.end();
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use fair_cores::{Cores, CpuQuota};

    use super::*;

    fn cx() -> Context<'static> {
        Context::from_waker(Waker::noop())
    }

    fn gate() -> Gate {
        gate_of(None, None)
    }

    fn gate_of(tenant: Option<&Arc<FlowQuota>>, cpu: Option<&Arc<CpuShare>>) -> Gate {
        let mut gate = Gate::new(&Limits::default(), [None, tenant], cpu, &Arc::default());
        gate.begin_go(Instant::now());
        gate.begin_round();
        gate
    }

    #[test]
    fn a_round_has_room_for_a_batch() {
        let mut gate = gate();
        for _ in 0..BATCH {
            assert!(gate.has_room());
            gate.note_begun();
        }
        assert!(!gate.has_room());
        assert!(!gate.is_go_over());
        gate.begin_round();
        assert!(gate.has_room());
    }

    #[test]
    fn a_go_is_over_after_its_rounds() {
        let mut gate = gate();
        for _ in 1..ROUNDS {
            assert!(!gate.is_go_over());
            gate.begin_round();
        }
        assert!(gate.is_go_over());
        gate.begin_go(Instant::now());
        gate.begin_round();
        assert!(!gate.is_go_over());
    }

    #[test]
    fn a_go_is_over_when_its_waits_took_too_long() {
        let mut gate = gate();
        let start = Instant::now();
        gate.note_wait(start);
        gate.note_wait(start + WAIT_BUDGET / 2);
        assert!(gate.has_room() && !gate.is_go_over());
        gate.note_wait(start + WAIT_BUDGET);
        assert!(!gate.has_room() && gate.is_go_over());
        gate.begin_round();
        assert!(!gate.has_room(), "the budget is that of the go");
        gate.begin_go(Instant::now());
        assert!(gate.has_room());
    }

    #[test]
    fn a_gate_is_busy_until_the_last_reply_was_sent() {
        let mut gate = gate();
        assert!(!gate.is_busy());
        let permit = gate.enter(512, &cx()).unwrap();
        assert!(gate.is_busy());
        gate.leave(permit);
        assert!(!gate.is_busy());
    }

    #[test]
    fn a_wait_for_admission_is_noted_once() {
        let flow = FlowQuota::new(1, 1 << 20);
        let (mut one, mut two) = (gate_of(Some(&flow), None), gate_of(Some(&flow), None));
        let first = one.enter(0, &cx()).unwrap();
        assert!(two.enter(0, &cx()).is_none());
        assert!(two.enter(0, &cx()).is_none());
        assert!(two.is_busy());
        one.leave(first);
        let second = two.enter(0, &cx()).unwrap();
        two.leave(second);
        assert_eq!(one.metrics.admission_waits.count(), 0);
        assert_eq!(two.metrics.admission_waits.count(), 1);
    }

    #[test]
    fn a_connection_that_steps_back_delays_no_other() {
        let flow = FlowQuota::new(1, 1 << 20);
        let share = CpuShare::new(&CpuQuota::new(&Cores::new(1), 100), 100);
        let mut first = gate_of(Some(&flow), None);
        let under_way = first.enter(0, &cx()).unwrap();
        let mut waits = gate_of(Some(&flow), Some(&share));
        assert!(waits.enter(0, &cx()).is_none());
        share.owe(fair_cores::SLICE);
        assert!(!waits.has_time(&mut cx()), "others go first");
        assert!(waits.is_busy());
        waits.step_back();
        assert!(!waits.is_busy());
        first.leave(under_way);
        let mut next = gate_of(Some(&flow), Some(&share));
        assert!(next.enter(0, &cx()).is_some());
    }

    #[test]
    fn no_request_begins_without_the_core_that_its_export_needs() {
        let share = CpuShare::new(&CpuQuota::new(&Cores::new(1), 100), 100);
        let mut gate = gate_of(None, Some(&share));
        assert!(gate.has_time(&mut cx()), "on credit");
        gate.end_go();
        share.owe(fair_cores::SLICE);
        gate.begin_go(Instant::now());
        assert!(!gate.has_time(&mut cx()), "others go first");
        gate.end_go();
        gate.begin_go(Instant::now());
        assert!(gate.has_time(&mut cx()));
        gate.give_up_core();
        assert!(gate.has_time(&mut cx()), "a slot in use stays");
    }
}
